"""Directors that are killed at random moments, under live load and while commands change them.

The moments are spread evenly from the start of a process to some time after it is ready: while it loads programs, takes
maps over, swaps programs under links, makes the changes of commands again, or makes new ones.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lasthop.errors import LasthopError
from lasthop.lab import transparency
from lasthop.lab.load import Load
from lasthop.lab.waiting import wait_until
from tests.faults.settings import FULL

if TYPE_CHECKING:
    from lasthop.lab.director_process import DirectorProcess
    from lasthop.lab.topology import Topology

KILLS = 100 if FULL else 16
MAX_WEIGHT = 65_535
#: Of the time from a start to readiness: how late a director is killed at the latest.
LATEST = 1.1
#: And how late at the latest one that was ready: it is given another weight meanwhile, again and again.
SETTLED_S = 0.3


class Changing:
    """Commands that give a real server another weight, one after the other, as long as the director can be reached."""

    def __init__(self, director: DirectorProcess) -> None:
        self._director = director
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.confirmed = 1
        """The weight that a command was told it had set."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(0.02):
            weight = self.confirmed % MAX_WEIGHT + 1
            with suppress(LasthopError):
                self._director.client.edit([{"kind": "weigh", "server": "fw1", "weight": weight}])
                self.confirmed = weight

    def require_kept(self) -> None:
        """What was confirmed last is there; or the one after it, which was made and not confirmed any more."""
        weights = {row["weight"] for row in self._director.client.servers() if row["name"] == "fw1"}
        assert weights <= {self.confirmed, self.confirmed + 1}, (weights, self.confirmed)


def require_whole(director: DirectorProcess) -> None:
    """Every line of the state file but one that was being written is whole, and says what an edit is."""
    state = director.file.with_name(f"{director.name}.json")
    if state.exists():
        head, *edits, _ = state.read_bytes().split(b"\n")
        assert json.loads(head)["lasthop"] == 1
        assert all(json.loads(line)[0]["kind"] == "weigh" for line in edits)


def kill_again_and_again(director: DirectorProcess, times: int, latest_s: float, drawn: random.Random) -> None:
    """Start and kill it; every fourth time not before it is ready."""
    for number in range(times):
        moment = drawn.uniform(0, latest_s)
        director.start()
        if number % 4 == 0:
            director.wait_ready(resolved=False)
            moment = drawn.uniform(0, SETTLED_S)
        assert not wait_until(lambda: not director.running, timeout=moment), director.last_words()
        director.end(signal.SIGKILL)
        require_whole(director)


def held(lab: Topology) -> dict[str, dict[str, object]]:
    """What must be as it was: the ids of hops, and which real server each long connection has; by director."""
    return {
        box: {str(hop["mac"]): hop["id"] for hop in director.client.hops()}
        | {str(row["source_port"]): row["real_server"] for row in director.client.connections(protocol="tcp")}
        for box, director in lab.directors.items()
    }


def pins(director: DirectorProcess) -> list[str]:
    return sorted(str(path) for path in Path("/sys/fs/bpf/lasthop", director.name).rglob("*"))


def test_directors_that_are_killed_at_random_moments_again_and_again_lose_nothing(lab: Topology) -> None:
    directors = list(lab.directors.values())
    seed = int.from_bytes(os.urandom(4))
    with transparency.capture(lab) as taken, Load(lab) as load:
        before, pinned = held(lab), [pins(director) for director in directors]
        kept = [str(each.port) for each in load.living]
        for director in directors:
            director.end(signal.SIGKILL)
        began = time.monotonic()
        lab.start_directors()
        latest_s = LATEST * (time.monotonic() - began)
        with ExitStack() as stack:
            changing = [stack.enter_context(Changing(director)) for director in directors]
            for director in directors:
                director.end(signal.SIGKILL)
            with ThreadPoolExecutor() as workers:
                jobs = [
                    workers.submit(kill_again_and_again, director, KILLS // 2, latest_s, random.Random(seed + number))
                    for number, director in enumerate(directors)
                ]
            for job in jobs:
                job.result()
        lab.start_directors()
        for each in changing:
            each.require_kept()
        load.progress()
        after = held(lab)
    assert load.broken == [], seed
    for box, known in before.items():
        same = {key: after[box].get(key) for key in known if key in kept or ":" in key}
        assert same == {key: value for key, value in known.items() if key in same}, (box, seed)
    assert [pins(director) for director in directors] == pinned
    for proof in transparency.compare(lab.layout, taken.frames):
        assert proof.holds, (proof, seed)
    for director in directors:
        assert director.client.status()["unexpected"] == {}
