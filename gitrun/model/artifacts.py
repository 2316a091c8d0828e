"""The part of a record that lists its files: what those who write it and those who read it have in common."""

PART = "artifacts.jsonl"
MAX_INPUTS = 100_000
