"""Topologies stand, fall and clean up; with plain kernel forwarding, so no director is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lasthop.errors import LabError
from lasthop.lab import ownership, symmetry, transparency
from lasthop.lab.capture import Capture
from lasthop.lab.layout import Shape, layout
from lasthop.lab.namespace import NAMESPACES, environment, processes_in
from lasthop.lab.ping import echo_icmp
from lasthop.lab.requirements import check_requirements
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import curl, echo_udp, open_http
from lasthop.lab.waiting import wait_until
from lasthop.lab.wiring import director_peers

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILD_AND_WAIT = """
import sys
from lasthop.lab.topology import Blueprint, Topology
with Topology(Blueprint(kernel_forwarding=True)) as lab:
    print(lab.suffix, flush=True)
    sys.stdin.read()
"""


def namespaces_of(suffix: str) -> list[str]:
    return [path.name for path in NAMESPACES.glob(f"{ownership.PREFIX}{suffix}-*")]


@pytest.fixture
def builder() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that has built a topology and waits, and the topology's suffix."""
    with subprocess.Popen(
        [sys.executable, "-c", BUILD_AND_WAIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        suffix = process.stdout.readline().strip()
        yield process, suffix
        process.kill()
    for record in ownership.records():
        if record.suffix == suffix:
            record.remove()


@pytest.mark.parametrize("shape", list(Shape))
def test_the_kernel_baseline_answers_both_ways_through_the_first_firewall(shape: Shape) -> None:
    with Topology(Blueprint(shape, firewalls=2, kernel_forwarding=True)) as lab:
        lab.serve()
        client, www = lab.namespace("client"), lab.namespace("www")
        attempts = [
            *open_http(client, lab.layout.outwards, 20),
            *open_http(www, lab.layout.inwards, 20),
            *echo_udp(client, lab.layout.outwards, 5),
            *echo_icmp(www, lab.layout.inwards, 5),
            *curl(client, lab.layout.outwards[0], 3),
        ]
        judged = symmetry.judge(lab, attempts)
        assert judged.holds, judged.asymmetric
        assert set(judged.firewall_of.values()) == {"fw1"}


def test_a_response_through_another_firewall_is_dropped_and_judged_asymmetric() -> None:
    with Topology(Blueprint(firewalls=2, kernel_forwarding=True)) as lab:
        lab.serve()
        lab.run("lb2", "ip", "route", "replace", "198.51.100.0/24", "via", "10.0.2.12")
        client, pairs = lab.namespace("client"), lab.layout.outwards
        attempts = [
            *open_http(client, pairs, 4, timeout=0.3),
            *echo_udp(client, pairs, 4, timeout=0.3),
            *echo_icmp(client, pairs, 4, timeout=0.3),
        ]
        judged = symmetry.judge(lab, attempts)
        assert not any(attempt.completed for attempt in attempts)
        assert not judged.holds
        assert len(judged.asymmetric) == len(attempts)
        assert judged.per_firewall["fw1"].requests == len(attempts)
        dropped = judged.per_firewall["fw2"].packets
        assert dropped.invalid >= 8
        assert dropped.refused >= 4


def test_plain_forwarding_is_judged_not_transparent_because_of_the_time_to_live() -> None:
    with Topology(Blueprint(firewalls=1, kernel_forwarding=True, offloads=False)) as lab:
        lab.serve()
        with_directors = layout(Shape.TWO_BOX, firewalls=1, clients=8)
        points = [(box, lab.namespace(box), interface) for box, interface in director_peers(with_directors)]
        with Capture(points) as taken:
            open_http(lab.namespace("client"), lab.layout.outwards, 5)
        for proof in transparency.compare(with_directors, taken.frames):
            assert proof.entered == proof.left > 0
            assert proof.identical == 0
            assert not proof.holds


def test_nothing_is_left_after_the_block_even_if_it_fails() -> None:
    lab = Topology(Blueprint(kernel_forwarding=True))

    def serve_and_fail() -> None:
        with lab:
            lab.serve()
            assert namespaces_of(lab.suffix)
            lab.run("client", "false")

    with pytest.raises(LabError, match="'false' failed"):
        serve_and_fail()
    assert not namespaces_of(lab.suffix)
    assert not lab.folder.exists()
    assert lab.suffix not in [record.suffix for record in ownership.records()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_builder_and_removes_everything(
    number: signal.Signals, builder: tuple[subprocess.Popen[str], str]
) -> None:
    process, suffix = builder
    assert namespaces_of(suffix)
    process.send_signal(number)
    process.wait(20)
    assert process.returncode != 0
    assert not namespaces_of(suffix)


def test_what_a_killed_builder_leaves_is_removed_and_what_a_living_one_uses_is_not(
    builder: tuple[subprocess.Popen[str], str],
) -> None:
    process, suffix = builder
    assert suffix not in ownership.remove_abandoned(kept=False)
    assert namespaces_of(suffix)
    process.kill()
    process.wait(10)
    # Another run on this host may be quicker with the removal.
    ownership.remove_abandoned(kept=False)
    assert wait_until(lambda: not namespaces_of(suffix), timeout=10)


def test_a_kept_topology_stays_until_it_is_cleaned_by_name() -> None:
    lab = Topology(Blueprint(kernel_forwarding=True))
    with lab:
        lab.serve()
        lab.keep()
    record = next(record for record in ownership.records() if record.suffix == lab.suffix)
    try:
        assert record.kept
        assert len(processes_in([lab.namespace("www")])) == 1
        assert open_http(lab.namespace("client"), lab.layout.outwards, 1)[0].completed
    finally:
        record.remove()
        lab.close()
    assert not namespaces_of(lab.suffix)


def test_an_unknown_box_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(LabError, match="fw1"):
        Topology(Blueprint(kernel_forwarding=True)).namespace("fw9")


def test_without_root_the_lab_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="sudo"):
        check_requirements()


def test_a_missing_tool_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match="apt-get install -y curl iproute2 nftables"):
        check_requirements("curl")
