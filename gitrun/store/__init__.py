"""Content-addressed blobs: whatever is too big or too raw for Git, once, and verified on the way out."""
