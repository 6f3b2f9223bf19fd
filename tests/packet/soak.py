"""`make soak`: random and mutated frames through data plane and model for as long as one likes.

Every world has a seed, which is printed with a failure: --world, --entry and --seed take that life again.
Must not be here: what is compared.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from lasthop.dataplane import publisher
from tests.packet import mutations, steps
from tests.packet.conftest import CONNECTIONS, interfaces
from tests.packet.duel import Duel
from tests.packet.rig import SENT, Rig, replay
from tests.packet.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.packet.worlds import World

#: Frames of a life.
LONG = 1_500
REPORT_EVERY_S = 60.0
#: Of so many lives the frames of one are mutated.
FUZZED = 4


def main(arguments: list[str]) -> int:
    """Exit status 1 with the first difference."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", help="number of the first life; without it the clock's")
    parser.add_argument("--world", help="take one life of this world: with --entry and --seed, as a failure says")
    parser.add_argument("--entry", choices=["tc", "xdp"], default="tc")
    wanted = parser.parse_args(arguments)
    first = int(wanted.seed or time.time())
    with interfaces():
        publisher.grace_period = _no_reader_to_wait_for
        rig = Rig(CONNECTIONS)
        if wanted.world:
            lives = iter([(first, _named(wanted.world), wanted.entry)])
        else:
            lives = _lives(first, time.monotonic() + wanted.minutes * 60)
        return soak(rig, lives)


def soak(rig: Rig, lives: Iterator[tuple[int, World, str]]) -> int:
    """Take lives until there are no more, or one goes otherwise than the model says."""
    reasons: Counter[str] = Counter()
    started = reported = time.monotonic()
    number = 0
    for number, (seed, world, entry) in enumerate(lives, 1):
        duel = Duel(rig, world, entry)
        try:
            duel.walk(frames_of(seed, world, entry))
        except Exception as difference:  # noqa: BLE001 -- whatever it is, it is to be taken again
            tell(seed, world, entry, duel, difference)
            return 1
        reasons += duel.reasons
        if time.monotonic() - reported > REPORT_EVERY_S:
            reported = time.monotonic()
            print(f"{number} lives, seed {seed}: {_rate(reasons.total(), started)}", flush=True)
    for reason, count in sorted(reasons.items()):
        print(f"{count:10} {reason}")
    print(f"{number} lives, no difference: {_rate(reasons.total(), started)}")
    return 0


def frames_of(seed: int, world: World, entry: str) -> Iterator[steps.Step]:
    """The steps of one life."""
    rng = random.Random(f"{seed} {entry} {world.name}")
    if seed % FUZZED:
        return (steps.step(rng.choice, world) for _ in range(LONG))
    seeds = mutations.seeds()
    return (mutations.step(rng, world, seeds) for _ in range(LONG))


def tell(seed: int, world: World, entry: str, duel: Duel, difference: Exception) -> None:
    """What differs, the last frames, and how to take that life again."""
    for sent in SENT:
        print(replay(*sent))
    print(f"after {duel.frames} frames: {type(difference).__name__} {difference}")
    print(f"again: make soak ARGS='--world \"{world.name}\" --entry {entry} --seed {seed}'", flush=True)


def _lives(first: int, until: float) -> Iterator[tuple[int, World, str]]:
    for seed in itertools.count(first):
        for world, entry in itertools.product(WORLDS, ("tc", "xdp")):
            if time.monotonic() > until:
                return
            yield seed, world, entry


def _named(name: str) -> World:
    for world in WORLDS:
        if world.name == name:
            return world
    raise SystemExit(f"make soak: can't take a life of {name!r}: there are {', '.join(each.name for each in WORLDS)}")


def _rate(frames: int, started: float) -> str:
    return f"{frames} frames, {frames / (time.monotonic() - started):.0f} in a second"


def _no_reader_to_wait_for() -> None:
    """Nobody reads the maps while they are published."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
