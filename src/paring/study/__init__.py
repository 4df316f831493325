"""Studies: arms x seeds x settings, each an ordinary run in a process of its own."""
