"""What every test can rely on: who may run it, and BPF programs of its own.

Must not be here: topologies (lasthop.lab) and packets (beside the tests that send them).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).parent
ROOT_FOLDERS = {"packet", "lab", "faults"}

# A slow machine is no failed property.
settings.register_profile("lasthop", deadline=None)
settings.load_profile("lasthop")


def pytest_xdist_auto_num_workers() -> int:
    """As many processes as keep every processor busy: now and then a test waits for time to pass."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in the folders that need root, and skip marked tests without it."""
    missing = pytest.mark.skip(reason="needs root and network namespaces: sudo make test")
    for item in items:
        if ROOT_FOLDERS.intersection(item.path.relative_to(TESTS).parts[:1]):
            item.add_marker(pytest.mark.root)
        if os.geteuid() != 0 and item.get_closest_marker("root"):
            item.add_marker(missing)


@pytest.fixture(scope="session")
def build_bpf(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """A function from NAME.bpf.c to its object, with the headers of bpf/ at hand."""
    from bpf import build

    into = tmp_path_factory.mktemp("bpf")

    def built(source: Path) -> Path:
        return build.build(source, into, [build.SOURCES])

    return built
