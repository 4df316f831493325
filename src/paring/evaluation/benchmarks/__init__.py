"""Benchmarks: where the data are, how a row becomes a problem, what kind of gold, and which rows are broken."""
