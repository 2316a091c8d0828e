"""gitrun: a Git-backed, content-addressed archive of runs."""

__version__ = "0.1.0"
