"""The lockfile of an environment: `pylock.toml` with a hash for everything that is installed.

`making` puts it together: what is installed (`pins`), what the project's own files say about it (`sources`), what
an index says about the rest (`resolver`, kept in `answers`), the file itself (`pylock`), and wheels made again of
what no index has (`vendor`). All of it runs while the command runs, and may be given up at any moment.
"""
