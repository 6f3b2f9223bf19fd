"""Two directors that are started at once, under live load: one runs, the other says why it does not."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane.attach import Attacher
from lasthop.dataplane.kernel import KernelDataPlane
from lasthop.dataplane.leftover import detach_pins
from lasthop.errors import DataPlaneError
from lasthop.lab.director_process import DirectorProcess
from lasthop.lab.load import Load
from lasthop.lab.waiting import wait_until
from lasthop.model.configuration import Configuration
from lasthop.model.director import Director
from lasthop.model.leg import Leg, Mode
from lasthop.model.rule import Match
from lasthop.model.service import Service
from lasthop.policy.compile import compile_plan
from lasthop.policy.surroundings import Surroundings
from tests.contract.dataplane_worlds import OUTSIDE, KernelWorld
from tests.contract.network_worlds import enter
from tests.faults.settings import FULL, PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.topology import Topology
    from lasthop.policy.plan import Plan

TIMES = 5 if FULL else 2
#: How long one that is about to attach is held up.
MEANWHILE_S = 0.5


@contextmanager
def twin(lab: Topology, name: str = "") -> Iterator[tuple[DirectorProcess, DirectorProcess]]:
    """The outer director and one more for the same interfaces, of the same name or another."""
    first = lab.directors["lb1"]
    second = DirectorProcess(first.box, name or first.name, first.namespace, first.file)
    if name:
        second.file = first.file.with_name(f"{name}.toml")
        second.file.write_text(first.file.read_text().replace(f'"{first.name}"', f'"{name}"', 1))
    second.log = first.file.with_name("second.log")
    try:
        yield first, second
    finally:
        second.end(signal.SIGKILL)
        if name and Path("/sys/fs/bpf/lasthop", name).exists():
            second.detach()
        if not first.running:
            first.start()
        first.wait_ready()


def one_of(*directors: DirectorProcess) -> tuple[DirectorProcess, DirectorProcess]:
    """Wait until one of two has ended and the other is ready; the latter comes first."""

    def decided() -> bool:
        return any(not each.running for each in directors) and any(each.is_ready() for each in directors)

    assert wait_until(decided, timeout=PATIENCE_S), [each.last_words() for each in directors]
    winner, loser = sorted(directors, key=lambda each: not each.running)
    assert winner.running
    assert not loser.running
    return winner, loser


def test_of_two_of_one_name_that_start_at_once_one_runs_and_the_other_says_why_not(lab: Topology) -> None:
    with Load(lab) as load, twin(lab) as both:
        for _ in range(TIMES):
            for director in both:
                director.end(signal.SIGKILL)
            known = len(load.conversations)
            for director in both:
                director.start()
            winner, loser = one_of(*both)
            assert loser.end() == 1
            assert loser.last_words() == (
                f"can't start director '{loser.name}': one of that name is running; stop it first, or give this one"
                f" another name (see lasthop --director {loser.name} status)"
            )
            assert winner.client.count_connections() > 0
            assert winner.client.status()["problems"] == []
            load.progress()
            assert len(load.conversations) > known
    assert load.broken == []


def test_one_of_another_name_is_refused_the_interfaces_and_takes_nothing_from_the_first(lab: Topology) -> None:
    name = f"{lab.directors['lb1'].name}-too"
    with Load(lab) as load, twin(lab, name) as (first, second):
        attached = first.client.legs()
        for _ in range(TIMES):
            second.start()
            assert wait_until(lambda: not second.running, timeout=PATIENCE_S)
            assert second.end() == 1
            assert second.last_words() == (
                "can't attach to leg 'outside' (outside): another director is attached to it;"
                " stop it and run `lasthop --director NAME detach`, or leave it the interface"
            )
            assert not Path("/sys/fs/bpf/lasthop", name).exists()
            load.progress()
        assert first.client.legs() == attached
    assert load.broken == []


def test_of_two_names_that_start_at_once_on_the_same_interfaces_one_runs(lab: Topology) -> None:
    """Both begin with nothing: neither has a right to the interfaces that the other has not."""
    name = f"{lab.directors['lb1'].name}-too"
    with twin(lab, name) as both:
        for _ in range(TIMES):
            for director in both:
                director.end(signal.SIGKILL)
                if Path("/sys/fs/bpf/lasthop", director.name).exists():
                    director.detach()
            for director in both:
                director.start()
            _, loser = one_of(*both)
            assert loser.end() == 1
            assert "another director is attached to it" in loser.last_words()
            assert not Path("/sys/fs/bpf/lasthop", loser.name).exists()
            with Load(lab) as load:
                load.progress()
            assert load.broken == []


def test_one_that_attaches_while_another_is_about_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have looked and found nobody; the second begins to attach in the very moment before the first does."""
    with ExitStack() as stack:
        world = KernelWorld(stack)
        plan = service_plan(world)
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, here)
        name = f"{world.name}-too"
        stack.callback(detach_pins, name)
        second = stack.enter_context(closing(KernelDataPlane(name, 1024)))
        workers = stack.enter_context(ThreadPoolExecutor())
        late: list[Future[None]] = []

        def publish() -> None:
            enter(here)
            second.publish(plan)

        attach_tc = Attacher.attach_tc

        def interrupted(attacher: Attacher, leg: str, interface: str, ifindex: int) -> None:
            if not late:
                late.append(workers.submit(publish))
                wait(late, timeout=MEANWHILE_S)
            attach_tc(attacher, leg, interface, ifindex)

        monkeypatch.setattr(Attacher, "attach_tc", interrupted)
        world.dataplane.publish(plan)
        with pytest.raises(DataPlaneError, match="another director is attached to it"):
            late[0].result()
        assert second.attachments() == []


def service_plan(world: KernelWorld) -> Plan:
    """One service from leg `outside`, with nobody in it."""
    legs = (Leg("outside", OUTSIDE, "edge", Mode.TC),)
    services = (Service(1, (Match(legs=("outside",)),), ()),)
    return compile_plan(Configuration(Director("lb"), legs, services), Surroundings(world.links))
