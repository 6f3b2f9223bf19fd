"""TOML to model: every mistake reported with its key, value and remedy."""

from __future__ import annotations

from lasthop.config.load import load, parse, read

__all__ = ["load", "parse", "read"]
