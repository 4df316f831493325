"""Processes, disk and screen: durable files, checkpoints, the journal, and how things are shown."""
