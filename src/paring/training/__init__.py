"""The loops, each of which reads as its algorithm, and what they share."""
