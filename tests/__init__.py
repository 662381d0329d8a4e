"""The tests, and the pretend provider they share with the benchmarks."""
