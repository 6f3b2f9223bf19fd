"""Fixtures of the packet tests: a namespace with the interfaces, and a rig in it, once as tc and once as XDP.

Must not be here: plans and packets.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.dataplane import publisher
from tests.packet.account import Ledger
from tests.packet.plans import INTERFACES, mac_of
from tests.packet.rig import REACHED, SENT, Rig, replay

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

#: The smallest [table] connections.
CONNECTIONS = 1000
LARGE = 65536
_CLONE_NEWNET = 0x40000000
_FOLDER = Path(__file__).parent
_LEDGER = pytest.StashKey[Ledger]()


def _libc(name: str, *arguments: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name} failed")


@contextmanager
def interfaces() -> Iterator[None]:
    """A nameless network namespace with the interfaces around this thread, gone even if the process is killed."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _libc("unshare", _CLONE_NEWNET)
        lines = [
            f"link add lh-{name} index {ifindex} address {mac_of(name)} type veth"
            for name, ifindex in INTERFACES.items()
        ]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        yield
    finally:
        _libc("setns", home, _CLONE_NEWNET)
        os.close(home)


@pytest.fixture(scope="module")
def namespace() -> Iterator[None]:
    """The namespace of a module's tests."""
    with interfaces():
        yield


@pytest.fixture(scope="session")
def loaded() -> Iterator[Rig]:
    """The object, loaded once; nobody reads the maps while they are published, so no grace is needed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publisher, "grace_period", lambda: None)
        rig = Rig(CONNECTIONS)
        yield rig
        rig.close()


@pytest.fixture(params=["tc", "xdp"])
def entry(request: pytest.FixtureRequest) -> str:
    """Which of the two programs gets the frames."""
    return str(request.param)


@pytest.fixture
def rig(loaded: Rig, namespace: None, entry: str) -> Rig:
    """An empty data plane."""
    loaded.reset()
    loaded.entry = entry
    return loaded


@pytest.fixture(scope="module")
def large(namespace: None) -> Iterator[Rig]:
    """A data plane of its own with room for many connections."""
    rig = Rig(LARGE)
    yield rig
    rig.close()


def ledger_of(config: pytest.Config) -> Ledger:
    """The ledger of this process, beside those of the other workers of its run, if there are any."""
    if _LEDGER not in config.stash:
        worker: dict[str, str] = getattr(config, "workerinput", {"workerid": "alone"})
        folder = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined] # hooks get no fixtures
        shared = folder if worker["workerid"] == "alone" else folder.parent
        config.stash[_LEDGER] = Ledger(shared / "reasons-reached", worker["workerid"])
    return config.stash[_LEDGER]


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """What all processes of this run have noted of the tests of this folder."""
    return ledger_of(request.config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Say with a failure how to make its last frames again; note what the test has reached."""
    report = yield
    if not item.path.is_relative_to(_FOLDER):
        return report
    if report.failed:
        ledger_of(item.config).note_failure(item.nodeid)
        if SENT:
            report.sections.append(("frames, newest last", "\n".join(replay(*sent) for sent in SENT)))
    if report.when == "teardown":
        ledger_of(item.config).note_end(item.nodeid, REACHED)
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The account of the reasons reached comes after all tests: what it waits for has been begun by then."""
    items.sort(key=lambda item: item.path.name == "test_reasons.py" and item.path.parent == _FOLDER)
