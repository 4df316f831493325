"""Settings: how a class becomes a group of them, how recipes are read, and what is wrong with one, in words."""
