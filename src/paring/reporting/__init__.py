"""Run folders, read for people. Nothing here needs a model."""
