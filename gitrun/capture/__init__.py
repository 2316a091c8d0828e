"""The facts of a run: its source, its environment, the machine, what it was told, and what must not be kept."""
