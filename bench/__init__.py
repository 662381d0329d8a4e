"""Benchmarks: this product beside the bare transport and its peers."""
