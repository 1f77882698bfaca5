"""The command `bmase`. Nothing heavy is imported before a command needs it."""
