"""The nouns of lasthop as frozen dataclasses: one noun per file, standard library only."""
