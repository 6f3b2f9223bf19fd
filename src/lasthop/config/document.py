"""A configuration as TOML gives it: plain tables and lists that may hold anything.

Owns places in the document, how they are written, and access that survives whatever stands there. What must stand
there is `lasthop.config.schema`'s and `lasthop.config.crosscheck`'s business.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, time
from difflib import get_close_matches
from typing import TYPE_CHECKING

from lasthop.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Table = dict[str, object]

#: Keys and indices from the document's top: ("service", 0, "real_server", 2, "address").
Place = tuple[str | int, ...]

#: Longest value shown in a mistake.
SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake at a place; the value is read from the document when it is reported."""

    place: Place
    problem: str
    remedy: str


def tables(holder: Table, key: str) -> Iterator[tuple[int, Table]]:
    """Yield index and table for each table of the list at `key`; whatever else stands there is passed over."""
    value = holder.get(key)
    if isinstance(value, list):
        for index, entry in enumerate(value):
            if isinstance(entry, dict):
                yield index, entry


def text(holder: Table, key: str) -> str | None:
    """Return the text at `key`, or None if there is none."""
    value = holder.get(key)
    return value if isinstance(value, str) else None


def texts(place: Place, holder: Table, key: str) -> Iterator[tuple[Place, str]]:
    """Yield place and text for a key that takes one text or a list of them."""
    value = holder.get(key)
    if isinstance(value, str):
        yield (*place, key), value
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            if isinstance(entry, str):
                yield (*place, key, index), entry


def report(findings: Iterable[Finding], document: Table) -> list[Mistake]:
    """Return the findings as mistakes, in file order and each once."""
    placed = [Finding(_existing(finding.place, document), finding.problem, finding.remedy) for finding in findings]
    ordered = sorted(dict.fromkeys(placed), key=lambda finding: _position(finding.place, document))
    return [
        Mistake(path(finding.place), _value_at(finding.place, document), finding.problem, finding.remedy)
        for finding in ordered
    ]


def path(place: Place) -> str:
    """Return the place as an operator reads it: ``service[0].real_server[2].address``."""
    written = ""
    for step in place:
        written += f"[{step}]" if isinstance(step, int) else f".{step}" if written else step
    return written


def known_words(wrong: str, known: Sequence[str]) -> str:
    """Return the remedy for a word that is none of `known`, with the one that was probably meant."""
    meant = get_close_matches(wrong, known, n=1)
    listed = ", ".join(known)
    return f"did you mean {meant[0]}? Known: {listed}" if meant else f"use one of {listed}"


def shown(value: object) -> str:
    """Return a value as TOML writes it, in one line and cut to a readable length."""
    if isinstance(value, str):
        written = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, bool):
        written = str(value).lower()
    elif isinstance(value, int):
        written = str(value) if abs(value) < 1 << 256 else "a number of more than 256 bits"
    elif isinstance(value, date | time):
        written = value.isoformat()
    elif isinstance(value, list):
        written = f"[{', '.join(map(shown, value))}]"
    elif isinstance(value, dict):
        inner = ", ".join(f"{key} = {shown(entry)}" for key, entry in value.items())
        written = f"{{ {inner} }}" if inner else "{}"
    else:
        written = str(value)
    return written if len(written) <= SHOWN_CHARACTERS else f"{written[: SHOWN_CHARACTERS - 3]}..."


def _existing(place: Place, document: Table) -> Place:
    """Leave out the index of a value that stands alone where a list is allowed too."""
    kept: list[str | int] = []
    value: object = document
    for step in place:
        if isinstance(step, str) or isinstance(value, list):
            kept.append(step)
            value = _inside(value, step)
    return tuple(kept)


def _value_at(place: Place, document: Table) -> str:
    """Return what stands at `place` as text; empty if nothing does."""
    value: object = document
    for step in place:
        value = _inside(value, step)
    return "" if value is None else shown(value)


def _inside(value: object, step: str | int) -> object:
    """Return what `value` holds at `step`; None, which TOML cannot write, if nothing."""
    if isinstance(step, str):
        return value.get(step) if isinstance(value, dict) else None
    return value[step] if isinstance(value, list) and step < len(value) else None


def _position(place: Place, document: Table) -> tuple[int, ...]:
    """Return where `place` comes in the document; a missing key comes after those of its table."""
    position = []
    value: object = document
    for step in place:
        if isinstance(step, int):
            position.append(step)
        elif isinstance(value, dict):
            keys = list(value)
            position.append(keys.index(step) if step in value else len(keys))
        value = _inside(value, step)
    return tuple(position)
