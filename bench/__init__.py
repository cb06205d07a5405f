"""Measurements of the running server: see README.md in this folder."""
