"""Wire protocols, driven by hand."""
