"""The L1RA paper in code: low-rank adapters, their gates, their ranks, and PEFT's files."""
