"""The commands of `stentor`, one file each; nothing heavy is imported before it is needed."""
