"""Runs as commits: sealing a record into Git, and reading it back."""
