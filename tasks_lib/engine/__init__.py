"""Floor 3: time and concurrency: what is due now, how many at once, and what the network does."""
