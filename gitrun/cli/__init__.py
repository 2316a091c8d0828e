"""The command line: each family parses, calls the library, and renders; no logic of its own."""
