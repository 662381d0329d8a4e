"""The server that the other tests lean on is tested itself."""
