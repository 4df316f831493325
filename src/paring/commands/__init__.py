"""Commands that are a file of their own, and what all commands share. Nothing heavy is imported before one runs."""
