"""Benchmarks that are built here, from texts that a user brings."""
