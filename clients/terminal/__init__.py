"""Commands of `stentor` that are clients of a server, or of a model in their own process."""
