"""Which clock is asked: what ends by itself ends by the monotonic one, and a time of day that is set moves nothing."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.architecture.tree import files, named, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Where things end by themselves.
FOLDERS = tuple(f"src/lasthop/{each}" for each in ("dataplane", "director", "health", "model", "network", "policy"))
#: Who asks for the time of day there, and what for.
TIME_OF_DAY = {
    "src/lasthop/director/director.py": "a drain's deadline, which becomes one of the monotonic clock",
    "src/lasthop/dataplane/clock.py": "the time of captured frames",
}
_ASKING = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
_BPF_TIME_OF_DAY = {"bpf_ktime_get_tai_ns", "bpf_ktime_get_real_ns"}


def asking(path: Path) -> Iterator[str]:
    for found in ast.walk(parsed(path)):
        if isinstance(found, ast.Call) and ast.unparse(found.func) in _ASKING:
            yield ast.unparse(found.func)


def test_only_who_is_listed_asks_for_the_time_of_day() -> None:
    assert {named(path) for path in files(".py", folders=FOLDERS) if any(asking(path))} == set(TIME_OF_DAY)


def test_packets_are_stamped_with_a_clock_that_nobody_sets() -> None:
    assert not [
        named(path)
        for path in files(".c", ".h", folders=("bpf",))
        if any(name in path.read_text() for name in _BPF_TIME_OF_DAY)
    ]
