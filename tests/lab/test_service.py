"""A director with a service's capabilities tells its manager when it forwards, reloads, lives and ends."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lasthop.lab.waiting import patience
from tests.lab.machines import CONFIGURATION, PATIENCE_S, Machine

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

#: The capabilities of packaging/systemd/lasthop@.service.
WITH_FOUR = ("setpriv", "--bounding-set", "-all,+bpf,+net_admin,+perfmon,+net_raw")
ALL_UP = "STATUS=2 services, 2 real servers, 2 up"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    """Stands in for systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path_factory.mktemp("manager") / "notify"))
        made.settimeout(patience(PATIENCE_S))
        yield made


@pytest.fixture(scope="module")
def director(machine: Machine, manager: socket.socket) -> subprocess.Popen[str]:
    settings = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "3000000"}
    return machine.start(machine.write(), settings=settings, before=WITH_FOUR)


def heard(manager: socket.socket, wanted: str) -> list[str]:
    """The lines of the next message that has one that begins as `wanted`."""
    while True:
        lines = manager.recv(4096).decode().split("\n")
        if any(line.startswith(wanted) for line in lines):
            return lines


def test_it_has_the_capabilities_of_the_unit_alone(director: subprocess.Popen[str]) -> None:
    status = Path(f"/proc/{director.pid}/status").read_text()
    assert f"CapEff:\t{1 << 39 | 1 << 38 | 1 << 13 | 1 << 12:016x}\n" in status


@pytest.mark.usefixtures("director")
def test_it_is_ready_when_its_legs_forward(machine: Machine, manager: socket.socket) -> None:
    assert heard(manager, "READY") == ["READY=1", ALL_UP]
    assert machine.attached("eth0") == ["lh_tc"]


@pytest.mark.usefixtures("director")
def test_it_says_that_it_lives_within_the_time_it_was_given(manager: socket.socket) -> None:
    assert heard(manager, "WATCHDOG") == ["WATCHDOG=1"]


def test_a_reload_begins_and_ends_and_one_that_is_refused_is_in_the_status(
    machine: Machine, manager: socket.socket, director: subprocess.Popen[str]
) -> None:
    director.send_signal(signal.SIGHUP)
    began = heard(manager, "RELOADING")
    assert [line.partition("=")[0] for line in began] == ["RELOADING", "MONOTONIC_USEC"]
    assert heard(manager, "READY") == ["READY=1", ALL_UP]
    machine.write(CONFIGURATION.replace('"eth1"', '"eth9"'))
    director.send_signal(signal.SIGHUP)
    _, status = heard(manager, "READY")
    assert "the last reload changed nothing" in status


def test_it_says_that_it_ends_and_goes_on_forwarding(
    machine: Machine, manager: socket.socket, director: subprocess.Popen[str]
) -> None:
    assert machine.end(director) == 0
    assert heard(manager, "STOPPING") == ["STOPPING=1"]
    assert machine.attached("eth0") == ["lh_tc"]
