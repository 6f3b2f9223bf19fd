"""What a takeover copies: fields by their names, numbers that both add to, connections that others know better."""

from __future__ import annotations

import numpy as np
import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.upgrade.copying import _theirs
from lasthop.dataplane.upgrade.fields import add_fields, translated

LIVE = abi.enum("connection_flag")["CONNECTION_LIVE"] << 8
WAS = np.dtype([("kept", "u4"), ("gone", "u8"), ("list", "u2", (3,))])
BECOMES = np.dtype([("new", "u8"), ("list", "u2", (4,)), ("kept", "u8")])


def test_fields_are_copied_by_their_names_and_what_is_new_is_zero() -> None:
    (made,) = translated(np.array([(7, 9, [1, 2, 3])], WAS), BECOMES)
    assert (int(made["new"]), made["list"].tolist(), int(made["kept"])) == (0, [1, 2, 3, 0], 7)


def test_what_came_to_a_number_is_added_also_if_it_became_less() -> None:
    before, now = np.array([(7, 9, [1, 2, 3])], WAS), np.array([(5, 0, [1, 2, 65_535])], WAS)
    after = np.array([(1, [10, 20, 30, 40], 100)], BECOMES)
    add_fields(before, now, after)
    assert (int(after["new"][0]), after["list"][0].tolist(), int(after["kept"][0])) == (1, [10, 20, 26, 40], 98)


def word(generation: int, *, live: bool = True) -> int:
    return generation << 32 | (LIVE if live else 0) | 1


@pytest.mark.parametrize(
    ("was", "now", "seen", "known", "theirs"),
    [
        (word(1), 0, 5, 0, True),
        (word(1), word(1), 5, 5, False),
        (word(1), word(1), 6, 5, True),
        (word(1), word(1), 5, 6, False),
        (word(1, live=False), word(1), 5, 5, True),
        (word(1, live=False), word(1), 5, 6, False),
        (word(1), word(1, live=False), 6, 5, False),
        (word(2), word(1), 5, 9, True),
        (word(1), word(2), 9, 5, False),
        (word(0), word(2**32 - 1), 5, 9, True),
        (0, 0, 0, 0, False),
    ],
    ids=[
        "not copied yet",
        "the same",
        "they saw a packet later",
        "it goes on here",
        "they ended it before",
        "they ended it before it went on here",
        "it ended here",
        "they gave the slot away",
        "the slot was given away here",
        "generations begin anew",
        "nothing",
    ],
)
def test_who_knows_a_connection_better(was: int, now: int, seen: int, known: int, *, theirs: bool) -> None:
    given = (np.array([value], np.uint64) for value in (was, now, seen, known))
    assert _theirs(*given).tolist() == [theirs]
