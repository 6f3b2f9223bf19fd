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
from tests.packet.plans import INTERFACES, mac_of
from tests.packet.rig import SENT, Rig, replay

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

#: The smallest [table] connections.
CONNECTIONS = 1000
LARGE = 65536
_CLONE_NEWNET = 0x40000000
_FOLDER = Path(__file__).parent


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Say with a failure how to make its last frames again."""
    report = yield
    if report.failed and item.path.is_relative_to(_FOLDER) and SENT:
        report.sections.append(("frames, newest last", "\n".join(replay(*sent) for sent in SENT)))
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The account of the reasons reached comes after the tests that reach them."""
    items.sort(key=lambda item: item.path.name == "test_reasons.py" and item.path.parent == _FOLDER)
