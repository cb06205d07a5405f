"""Who may use the server, for what, and how much of it at once; docs/security.md."""
