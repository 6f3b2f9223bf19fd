"""Every counted reason has been reached by a test of this folder, or is named here with why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lasthop.dataplane.reasons import GROUP_MARKS, REASONS
from tests.packet.rig import REACHED
from tests.packet.rig import REASONS as NAMES

UNREACHED = {
    "EVENT_CONTENDED": "needs two CPUs inside the same insertion: test_two_cpus.py meets it by chance only",
    "DROP_CONTENDED": "needs a connection that another CPU opens and ends within this packet's time",
    "EVENT_XDP_REDIRECT_ERROR": "BPF_PROG_TEST_RUN hands no frame to a driver",
}


def test_every_reason_has_its_sentence() -> None:
    assert set(NAMES) - GROUP_MARKS == set(REASONS)


def test_every_reason_was_reached_by_a_test_of_this_folder(request: pytest.FixtureRequest) -> None:
    folder = Path(__file__).parent
    collected = {item.path for item in request.session.items}
    whole = set(folder.glob("test_*.py")) <= collected and not request.config.getoption("keyword")
    if not whole or request.session.testsfailed:
        pytest.skip("says something only after all tests of tests/packet have run and passed")
    assert set(REASONS) - REACHED - set(UNREACHED) == set()
