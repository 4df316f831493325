"""Data sets, each with the check that scores its answers."""
