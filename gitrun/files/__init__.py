"""Files on a disk: the write primitive, locks, permissions, names, and the one materialiser."""
