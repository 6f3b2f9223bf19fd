"""Copying what is laid out otherwise: fields by their names, one map's entries into another's.

Must not be here: which maps, and when.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from lasthop.dataplane.libbpf import Map
    from lasthop.dataplane.upgrade.layout import Layout


def copy_fields(before: NDArray[Any], after: NDArray[Any]) -> None:
    """Copy what both have of each element: fields by their names, arrays as far as both go."""
    if before.dtype.fields is not None and after.dtype.fields is not None:
        for name in before.dtype.fields.keys() & after.dtype.fields.keys():
            copy_fields(before[name], after[name])
        return
    common = _common(before, after)
    after[common] = before[common]


def add_fields(before: NDArray[Any], now: NDArray[Any], after: NDArray[Any]) -> None:
    """Add to each number in `after` what came to it from `before` to `now`, which are laid out alike."""
    if before.dtype.fields is not None and after.dtype.fields is not None:
        for name in before.dtype.fields.keys() & after.dtype.fields.keys():
            add_fields(before[name], now[name], after[name])
        return
    common = _common(before, after)
    came = now[common] - before[common]
    after[common] += came.view(f"i{came.itemsize}").astype(after.dtype)


def translated(elements: NDArray[Any], becomes: np.dtype[Any]) -> NDArray[Any]:
    """Elements of another layout in this one; what is new is zero."""
    made = np.zeros(len(elements), becomes)
    copy_fields(elements, made)
    return made


def copy_entries(
    source: Map, to: Map, was: dict[str, np.dtype[Any]], becomes: dict[str, np.dtype[Any]], *, only_new: bool
) -> None:
    """The entries of a hash or a trie map; `only_new`: those whose keys are not there yet."""
    for key, value in source.entries().items():
        to.update(
            translated(np.frombuffer(key, was["key"], 1), becomes["key"]).tobytes(),
            translated(np.frombuffer(value, was["value"], 1), becomes["value"]).tobytes(),
            only_new=only_new,
        )


def copy_reasons(source: Map, to: Map, layout: Layout, own: Layout) -> None:
    """Counters by their names; a value for each processor."""
    places = [(layout.reasons.index(name), place) for place, name in enumerate(own.reasons) if name in layout.reasons]
    was, becomes = layout.maps["reasons"]["value"], own.maps["reasons"]["value"]
    cpus = os.sysconf("SC_NPROCESSORS_CONF")
    source.value_size, to.value_size = was.itemsize * cpus, becomes.itemsize * cpus
    before = np.frombuffer(source.lookup(bytes(4)) or bytes(source.value_size), was)
    after = np.zeros(cpus, becomes)
    for here, there in _within(places, before["value"].shape[1], after["value"].shape[1]):
        after["value"][:, there] = before["value"][:, here]
    to.update(bytes(4), after.tobytes())


def _common(before: NDArray[Any], after: NDArray[Any]) -> tuple[slice, ...]:
    return tuple(slice(min(pair)) for pair in zip(before.shape, after.shape, strict=True))


def _within(places: Iterable[tuple[int, int]], here: int, there: int) -> list[tuple[int, int]]:
    return [(a, b) for a, b in places if a < here and b < there]
