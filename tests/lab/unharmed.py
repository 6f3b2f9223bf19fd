"""Traffic that goes on whatever happens to directors: a long connection and many short ones. No tests here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.lab import symmetry
from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from lasthop.lab.topology import Topology
    from lasthop.lab.traffic import Continuous, Drip

PATIENCE_S = 10


def progress(drip: Drip, short: Continuous, timeout: float = PATIENCE_S) -> None:
    """Wait until both kinds of traffic have gone on by some steps."""
    received, opened = drip.received, len(short.attempts)
    assert wait_until(lambda: drip.received > received + 5_000 and len(short.attempts) > opened + 20, timeout=timeout)


def require_unharmed(lab: Topology, drip: Drip, short: Continuous) -> None:
    """All were answered, through the firewalls that saw the requests, and no director counted what it should not."""
    assert drip.attempt is not None
    assert drip.attempt.completed, drip.attempt
    failed = [f"{attempt}: {attempt.problem}" for attempt in short.attempts if not attempt.completed]
    assert not failed, (failed[:5], len(short.attempts))
    unexpected = {name: director.client.status()["unexpected"] for name, director in lab.directors.items()}
    assert not any(unexpected.values()), unexpected
    judged = symmetry.judge(lab, [*short.attempts, drip.attempt])
    assert judged.holds, judged.asymmetric[:5]
