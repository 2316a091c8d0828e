"""Sharing runs over Git remotes: what travels, in which order, and what must be known before it leaves."""
