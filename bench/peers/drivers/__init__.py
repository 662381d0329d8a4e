"""One driver a system, each run by the Python of that system's own environment."""
