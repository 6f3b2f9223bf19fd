"""A thousand changed configurations, and bad ones between them, pushed to directors under live load."""

from __future__ import annotations

import itertools
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lasthop.errors import LasthopError
from lasthop.lab import transparency
from lasthop.lab.load import Load
from lasthop.lab.namespace import environment
from lasthop.lab.waiting import patience, wait_until
from tests.faults.settings import FULL, PATIENCE_S, apply, configured

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.lab.director_process import DirectorProcess
    from lasthop.lab.topology import Topology

PUSHES = 1000 if FULL else 300
WARMING = 50
#: Every so many a bad file comes, and every so many a file through the command line.
BAD_EVERY, COMMAND_EVERY = 11, 99
#: What the allocators of Python and of the kernel may keep, in KiB.
GROWTH_KIB = 8 << 10

_SERVER = '\n[[service.real_server]]\nname = "{name}"\naddress = "{address}"\n'
_SERVICE = '\n[[service]]\nmark = 77\nmatch = [{ protocol = "udp", destination_port = 9 }]\nreal_server = []\n'

#: What is different from the file in each of them, in turns.
VARIANTS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: text.replace('name = "fw1"\n', 'name = "fw1"\nweight = 7\n', 1),
    lambda text: text + _SERVICE,
    lambda text: text.replace('scheduler = "rr"', 'scheduler = "wlc"'),
    lambda text: text.replace('scheduler = "rr"', 'scheduler = "mh"'),
    lambda text: without(text, "fw3"),
    lambda text: text.replace('name = "fw2"\n', 'name = "fw2"\nweight = 0\n', 1),
    lambda text: configured(text, 'persistence = { timeout = 60 }\non_death = "keep"\n'),
    lambda text: text + "\n[timeouts]\ntcp_established = 7000\n",
)
#: And what is wrong with the bad ones.
MISTAKES: tuple[Callable[[str], str], ...] = (
    lambda text: text[: len(text) // 2] + "[[",
    lambda text: text.replace('scheduler = "rr"', 'scheduler = "tarot"'),
    lambda text: text.replace("[director]\nname = ", "[director]\nname = 'x' #", 1),
    lambda text: text.replace('leg = "outside"', 'leg = "nowhere"').replace('leg = "inside"', 'leg = "nowhere"'),
    lambda text: text + _SERVICE + _SERVICE,
)


def without(text: str, name: str) -> str:
    """A file without a real server; its connections go on to it."""
    blocks = text.split("\n[[service.real_server]]\n")
    assert any(block.startswith(f'name = "{name}"') for block in blocks)
    kept = [blocks[0]]
    for block in blocks[1:]:
        if block.startswith(f'name = "{name}"'):
            kept[-1] += block.partition("\n\n")[2] and "\n" + block.partition("\n\n")[2]
        else:
            kept.append(block)
    return "\n[[service.real_server]]\n".join(kept)


def holds(director: DirectorProcess) -> dict[str, int]:
    """What a process holds: memory, descriptors, and the maps and programs that those are."""
    process = Path(f"/proc/{director.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    descriptors = []
    for path in (process / "fdinfo").iterdir():
        # Probes and clients come and go.
        with suppress(OSError):
            descriptors.append(path.read_text())
    return {
        "memory": int(status["VmRSS"].split()[0]),
        "descriptors": len(descriptors),
        "maps": sum("map_id:" in each for each in descriptors),
        "programs": sum("prog_id:" in each for each in descriptors),
    }


def push(director: DirectorProcess, number: int) -> None:
    """One more configuration: a good one that is applied, or a bad one that is refused."""
    text = director.file.read_text()
    if number % BAD_EVERY == 0:
        wrong = MISTAKES[number // BAD_EVERY % len(MISTAKES)](text)
        with pytest.raises(LasthopError):
            director.client.apply(str(director.file), wrong)
        return
    changed = VARIANTS[number % len(VARIANTS)](text)
    if number % COMMAND_EVERY == 1:
        file = director.file.with_suffix(".next")
        file.write_text(changed)
        ended = subprocess.run(
            [sys.executable, "-m", "lasthop", "--director", director.name, "apply", str(file)],
            capture_output=True, text=True, check=False, env=environment(), timeout=patience(PATIENCE_S),
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
    else:
        assert director.client.apply(str(director.file), changed)["applied"]


def test_configurations_that_are_pushed_and_bad_ones_among_them_lose_nothing_and_leak_nothing(
    lab: Topology,
) -> None:
    apply(lab)
    directors = itertools.cycle(lab.directors.values())
    with transparency.capture(lab) as taken, Load(lab) as load:
        for number in range(WARMING):
            push(next(directors), number)
        before = {director.box: holds(director) for director in lab.directors.values()}
        for number in range(WARMING, PUSHES):
            push(next(directors), number)
        apply(lab)
        load.progress()

        def leaked() -> list[str]:
            return [
                f"{what} of {director.box}: {now - before[director.box][what]} more"
                for director in lab.directors.values()
                for what, now in holds(director).items()
                if now > before[director.box][what] + (GROWTH_KIB if what == "memory" else 0)
            ]

        assert wait_until(lambda: not leaked(), timeout=PATIENCE_S), leaked()
    assert load.broken == []
    for proof in transparency.compare(lab.layout, taken.frames):
        assert proof.holds, proof
    for director in lab.directors.values():
        assert director.client.status()["unexpected"] == {}
