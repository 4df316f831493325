"""The commands, a file each. Everything heavy is imported inside the command that needs it."""
