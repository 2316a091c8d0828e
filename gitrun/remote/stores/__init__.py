"""Where the blobs of a remote lie: a directory, an object store, or Git itself, behind one protocol."""
