"""Everything that speaks Git: discovery, config, objects, packs, refs, index; nothing else in gitrun does."""
