"""A director of a later version, whose maps are laid out otherwise, takes over under traffic: nothing is lost."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
from pathlib import Path

import pytest

from lasthop.dataplane import abi
from lasthop.lab import transparency
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import Continuous, Drip
from lasthop.lab.waiting import wait_until
from tests.lab.tcx import HAS_TCX
from tests.lab.unharmed import PATIENCE_S, progress, require_unharmed

SOURCES = Path(__file__).parents[2] / "bpf"
#: The later version: file, what is there, what is there then. Every struct that packets keep state in is another.
CHANGES = [
    ("limits.h", r"ABI_VERSION = \d+", f"ABI_VERSION = {abi.limit('ABI_VERSION') + 1}"),
    ("tracked.h", r"(\t__u64 created_ns;\n)(\t__u64 packets\[DIRECTIONS\];\n\t__u64 bytes\[DIRECTIONS\];\n)", r"\2\1"),
    ("published.h", r"(\t__u32 moved;\n)(\t__u8 address\[16\];[^\n]*\n)", r"\2\1"),
    ("published.h", r"(struct server \{\n\t__u32 hop;[^\n]*\n)", r"\1\t__u32 spare[3];\n"),
    ("published.h", r"(struct service_load \{\n)", r"\1\t__u64 spare;\n"),
    ("tracked.h", r"(struct template \{\n)", r"\1\t__u64 spare;\n"),
]
#: Before Linux 6.6 the moment of the switch costs packets, of the 20,000 in a second of this load.
#: TCP that was not answered for some seconds waits twice as long before it tries again.
BACKED_OFF_S = 60
LOST = 2_000
NO_TCX = "attach._BPF_TCX_INGRESS = 4711"
#: What a Python process with it does before anything else: it is killed at one of these calls, if at all.
PATCH = """
import os
from pathlib import Path
from lasthop.dataplane import abi, attach
from lasthop.dataplane.pins import Pins
from lasthop.dataplane.upgrade import fronts, takeover
if {path!r}:
    abi.object_path = lambda: Path({path!r})
def die_at(owner, name, times, when):
    done = getattr(owner, name)
    def dying(*given, **named):
        nonlocal times
        times -= 1
        if when == "before" and not times:
            os.kill(os.getpid(), 9)
        returned = done(*given, **named)
        if when == "after" and not times:
            os.kill(os.getpid(), 9)
        return returned
    setattr(owner, name, dying)
def die_pinned():
    put = Pins.put
    def dying(self, fd, path):
        put(self, fd, path)
        if path.name.startswith("front-"):
            os.kill(os.getpid(), 9)
    Pins.put = dying
{die}
"""
DEATHS = {
    "in front of the former": 'die_at(takeover, "grace_period", 1, "before")',
    "decided": 'die_at(fronts.Fronts, "pin", 1, "before")',
    "on one leg for good": "die_pinned()",
    "opening connections": 'die_at(takeover, "grace_period", 2, "before")',
    "with all connections": 'die_at(takeover, "put_in_place", 1, "before")',
    "in place": 'die_at(takeover, "put_in_place", 1, "after")',
    "renaming": 'die_at(Path, "rename", 2, "before")',
}


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The object of the later version."""
    folder = tmp_path_factory.mktemp("later")
    for source in SOURCES.glob("*"):
        if source.suffix in {".h", ".c"}:
            shutil.copy(source, folder)
    for name, before, after in CHANGES:
        text = (folder / name).read_text()
        changed, times = re.subn(before, after, text)
        assert times == 1, (name, before)
        (folder / name).write_text(changed)
    found = importlib.util.spec_from_file_location("lasthop_bpf_build", SOURCES / "build.py")
    assert found is not None
    assert found.loader is not None
    builder = importlib.util.module_from_spec(found)
    found.loader.exec_module(builder)
    for source in folder.glob("*.bpf.c"):
        builder.build(source, folder)
    return folder / "lasthop.bpf.o"


def as_later(folder: Path, path: Path, die: str = "") -> tuple[str, ...]:
    """What is put before a command line so that it is the later version's."""
    return as_another(folder, die, path)


def as_another(folder: Path, patch: str, path: Path | None = None) -> tuple[str, ...]:
    """What is put before a command line so that it is otherwise: by lines of Python, and by the object at `path`."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(PATCH.format(path=str(path or ""), die=patch))
    return ("env", f"PYTHONPATH={folder}")


@pytest.mark.parametrize("modes", [LegModes.TC, LegModes.XDP])
def test_a_later_version_with_another_layout_takes_over_under_traffic(
    later: Path, modes: LegModes, tmp_path: Path
) -> None:
    with Topology(blueprint(modes)) as lab:
        take_over(lab, as_later(tmp_path / "whole", later), HAS_TCX)


def test_without_tcx_it_takes_over_while_nothing_is_forwarded(later: Path, tmp_path: Path) -> None:
    """As before Linux 6.6: clsact alone. No connection is lost by that either."""
    with Topology(blueprint(LegModes.TC), start_directors=False) as lab:
        for director in lab.directors.values():
            director.before = as_another(tmp_path / "before", NO_TCX)
        lab.start_directors()
        take_over(lab, as_another(tmp_path / "whole", NO_TCX, later), both_forward=False)


def blueprint(modes: LegModes) -> Blueprint:
    return Blueprint(firewalls=3, balancing=Balancing(modes, persistence_s=60, connections=50_000), offloads=False)


def take_over(lab: Topology, command: tuple[str, ...], both_forward: bool) -> None:
    """One director after the other is killed, and goes on as the later version."""
    lab.serve()
    client, pairs = lab.namespace("client"), lab.layout.outwards
    with transparency.capture(lab) as taken, Drip(client, pairs[0]) as drip, Continuous(client, pairs) as short:
        for director in lab.directors.values():
            progress(drip, short)
            before = director.client.count_connections()
            servers = {each["name"]: each["persistent"] for each in director.client.servers()}
            director.end(signal.SIGKILL)
            director.before = command
            director.start()
            director.wait_ready()
            progress(drip, short, timeout=PATIENCE_S if both_forward else BACKED_OFF_S)
            assert director.client.count_connections() >= before > 0
            assert {each["name"] for each in director.client.servers()} == servers.keys()
            assert f"to {abi.limit('ABI_VERSION') + 1}, within " in director.log.read_text()
            assert ("in which both forwarded" in director.log.read_text()) is both_forward
    for proof in transparency.compare(lab.layout, taken.frames):
        assert proof.identical == proof.left, proof
        assert proof.entered - proof.left <= (0 if both_forward else LOST)
    require_unharmed(lab, drip, short)


@pytest.mark.parametrize("death", DEATHS)
def test_one_that_is_killed_while_it_takes_over_is_followed_by_one_that_finishes(
    later: Path, death: str, tmp_path: Path
) -> None:
    """Wherever that is, what forwards then goes on until the next one."""
    with Topology(Blueprint(firewalls=2, balancing=Balancing(connections=20_000), offloads=False)) as lab:
        lab.serve()
        client, pairs = lab.namespace("client"), lab.layout.outwards
        director = lab.directors["lb1"]
        with Drip(client, pairs[0]) as drip, Continuous(client, pairs) as short:
            progress(drip, short)
            director.end(signal.SIGKILL)
            director.before = as_later(tmp_path / "killed", later, DEATHS[death])
            director.start()
            assert wait_until(lambda: not director.running, timeout=20)
            if HAS_TCX:
                progress(drip, short)
            director.before = as_later(tmp_path / "whole", later)
            director.start()
            director.wait_ready()
            progress(drip, short, timeout=PATIENCE_S if HAS_TCX else BACKED_OFF_S)
        require_unharmed(lab, drip, short)
        pins = Path("/sys/fs/bpf/lasthop", director.name)
        assert sorted(path.name for path in pins.iterdir()) == ["links", "maps"]
        assert not list(pins.glob("links/front-*"))
