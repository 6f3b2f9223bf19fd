"""TOML to model: every mistake reported with its key, value and remedy."""
