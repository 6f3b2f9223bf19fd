"""The BPF objects of the bench: its own programs, and the product's with another connection table.

Owns their building. A variant is the product's source with one file exchanged: table.h.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from bpf.build import BuildError, build
from lasthop.errors import DataPlaneError

SOURCES = Path(__file__).parent
PRODUCT = SOURCES.parent / "bpf"
OBJECTS = SOURCES.parent / "build" / "bench"
#: Baseline -> the kind of map its connections are in.
MAP_TYPES = {"kernel-hash": "BPF_MAP_TYPE_HASH", "kernel-lru": "BPF_MAP_TYPE_LRU_HASH"}


def build_object(source: str) -> Path:
    """The object of a BPF program of the bench, built unless it is newer than its sources.

    Raises DataPlaneError with the compiler's words.
    """
    sources = [SOURCES / source, *PRODUCT.glob("*.h")]
    made = OBJECTS / source.replace(".bpf.c", ".bpf.o")
    if made.exists() and made.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return made
    return _build(sources[0], OBJECTS, PRODUCT)


def build_variant(baseline: str, connections: int) -> Path:
    """The product's object with its connections in a kernel map of so many entries. Raises DataPlaneError."""
    with tempfile.TemporaryDirectory(prefix="lasthop-bench-") as scratch:
        copy = Path(scratch) / "bpf"
        shutil.copytree(PRODUCT, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        table = (SOURCES / "kernel_table.h").read_text(encoding="utf-8")
        table = table.replace("BENCH_MAP_TYPE", MAP_TYPES[baseline]).replace("BENCH_CONNECTIONS", str(connections))
        (copy / "table.h").write_text(table, encoding="utf-8")
        return _build(copy / "lasthop.bpf.c", OBJECTS / f"{baseline}-{connections}", copy)


def _build(source: Path, into: Path, include: Path) -> Path:
    try:
        return build(source, into, [include])
    except BuildError as error:
        raise DataPlaneError(str(error), "") from error
