"""How what is pinned is laid out: of the shipped object, and of earlier versions of lasthop.

Owns the description of a layout as JSON. `layouts/N.json` is what a lasthop with ABI_VERSION N pins: a later one reads
from it what it takes over (`lasthop.dataplane.upgrade.takeover`). A file is written once, with its version, and never
changed after a release; tests/unit/test_dataplane_layouts.py holds the newest against the object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi

if TYPE_CHECKING:
    from lasthop.dataplane.btf import Btf


@dataclass(frozen=True, slots=True)
class Layout:
    """Of everything one version pins."""

    version: int
    maps: dict[str, dict[str, np.dtype[Any]]]
    """Name of a map -> the dtypes of its ``key`` and ``value``, where it has such."""
    reasons: tuple[str, ...]
    """Names of the counted reasons, in the order of their numbers."""

    def text(self) -> str:
        """As JSON, in a form that shows what differs."""
        maps = {
            name: {part: _described(dtype) for part, dtype in parts.items()}
            for name, parts in sorted(self.maps.items())
        }
        return json.dumps({"version": self.version, "reasons": self.reasons, "maps": maps}, indent=1) + "\n"


def layout_of(types: Btf) -> Layout:
    """The layout of an object."""
    return Layout(types.enum("limits")["ABI_VERSION"], types.maps(), tuple(types.enum("reason")))


def own_layout() -> Layout:
    """The layout of the shipped object."""
    return layout_of(abi.types())


def known_layout(version: int) -> Layout | None:
    """The layout of a version; None of one that this lasthop does not know."""
    file = resources.files("lasthop.dataplane.upgrade").joinpath(f"layouts/{version}.json")
    if not file.is_file():
        return None
    read = json.loads(file.read_text(encoding="ascii"))
    maps = {name: {part: _dtype(said) for part, said in parts.items()} for name, parts in read["maps"].items()}
    return Layout(read["version"], maps, tuple(read["reasons"]))


def _described(dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 -- JSON
    if dtype.subdtype is not None:
        element, (length,) = dtype.subdtype
        return {"length": length, "of": _described(element)}
    if dtype.fields is not None:
        fields = [[name, offset, _described(each)] for name, (each, offset, *_) in dtype.fields.items()]
        return {"bytes": dtype.itemsize, "fields": fields}
    return dtype.str.lstrip("<|")


def _dtype(said: Any) -> np.dtype[Any]:  # noqa: ANN401 -- JSON
    if isinstance(said, str):
        return np.dtype(said)
    if "of" in said:
        return np.dtype((_dtype(said["of"]), (said["length"],)))
    names, offsets, formats = zip(*said["fields"], strict=True)
    return np.dtype(
        {
            "names": list(names),
            "formats": [_dtype(each) for each in formats],
            "offsets": list(offsets),
            "itemsize": said["bytes"],
        }
    )
