"""Every counted reason has been reached by a test of this folder, or is named here with why not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane.reasons import GROUP_MARKS, REASONS
from lasthop.lab.waiting import wait_until
from tests.packet.rig import REASONS as NAMES

if TYPE_CHECKING:
    from tests.packet.account import Ledger

#: In parallel, the last of the other tests of this folder may run elsewhere still.
PATIENCE_S = 300

UNREACHED = {
    "EVENT_CONTENDED": "needs two CPUs inside the same insertion: test_two_cpus.py meets it by chance only",
    "DROP_CONTENDED": "needs a connection that another CPU opens and ends within this packet's time",
    "EVENT_XDP_REDIRECT_ERROR": "BPF_PROG_TEST_RUN hands no frame to a driver",
}


def test_every_reason_has_its_sentence() -> None:
    assert set(NAMES) - GROUP_MARKS == set(REASONS)


def test_every_reason_was_reached_by_a_test_of_this_folder(request: pytest.FixtureRequest, ledger: Ledger) -> None:
    folder = Path(__file__).parent
    items = [item for item in request.session.items if item.path.is_relative_to(folder)]
    whole = set(folder.glob("test_*.py")) <= {item.path for item in items}
    if not whole or request.config.getoption("keyword"):
        pytest.skip("says something only after all tests of tests/packet")
    others = {item.nodeid for item in items} - {request.node.nodeid}
    wait_until(lambda: ledger.read().failed or others <= ledger.read().ended, timeout=PATIENCE_S, interval=0.5)
    account = ledger.read()
    if account.failed:
        pytest.skip(f"says something only if all tests of tests/packet pass: {min(account.failed)} did not")
    assert others - account.ended == set(), f"have not ended within {PATIENCE_S} s"
    assert set(REASONS) - account.reached - set(UNREACHED) == set()
