"""The files of the project, for the tests that hold their shape."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = ("bpf", "src", "tests", "bench", "distribution")


def files(*endings: str, folders: tuple[str, ...] = CODE_FOLDERS) -> list[Path]:
    """All files below `folders` whose names end in one of `endings`; for Python also those at the root."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.name.endswith(endings)]
    return sorted(found + [path for path in ROOT.glob("*.py") if path.name.endswith(endings)])


def named(path: Path) -> str:
    """The path as people write it."""
    return str(path.relative_to(ROOT))


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(path.read_text(), filename=str(path))
