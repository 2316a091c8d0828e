"""Giving a source back, and running it again: checkout, isolated runs, replays and their verdicts."""
