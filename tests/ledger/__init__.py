"""The ledger: what goes in comes out, and nothing is lost."""
