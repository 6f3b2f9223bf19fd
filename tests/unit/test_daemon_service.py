"""What a service manager is told: the protocol of sd_notify(3), the watchdog, and the status line."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from lasthop.daemon.notify import Notifier
from lasthop.daemon.service import Pulse, Service
from lasthop.errors import LasthopError
from tests.unit.director_worlds import observation, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lasthop.model.real_server import ServerReport

STATUS = "STATUS=2 services, 3 real servers, 3 up"


class Manager:
    """Stands in for systemd: a socket that datagrams come to."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0"))
        self.socket.setblocking(False)

    def heard(self) -> list[list[str]]:
        """The lines of each datagram since last time."""
        told = []
        with suppress(BlockingIOError):
            while True:
                told.append(self.socket.recv(4096).decode().split("\n"))
        return told


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@lasthop-test-{os.getpid()}")
    yield made
    made.socket.close()


def a_service(manager: Manager, watchdog_s: float | None = None) -> Service:
    director, _ = started()
    return Service(Notifier(manager.address, watchdog_s), director.servers, lambda: 2)


def kept_for(service: Service, seconds: float) -> None:
    async def keep() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(service.keep(), seconds)

    asyncio.run(keep())


def test_a_director_that_has_published_is_ready_and_says_how_it_is(manager: Manager) -> None:
    a_service(manager).ready()
    assert manager.heard() == [["READY=1", STATUS]]


def test_a_reload_is_announced_with_its_time_and_ended_by_ready(manager: Manager) -> None:
    with a_service(manager).reloading():
        ((word, stamp),) = manager.heard()
    assert word == "RELOADING=1"
    assert int(stamp.removeprefix("MONOTONIC_USEC=")) > 0
    assert manager.heard() == [["READY=1", STATUS]]


def test_a_reload_that_changed_nothing_stands_in_the_status_until_one_succeeds(manager: Manager) -> None:
    service = a_service(manager)
    with pytest.raises(LasthopError), service.reloading():
        raise LasthopError("can't read lb1.toml: no such file", "write it")
    _, (ready, status) = manager.heard()
    assert ready == "READY=1"
    assert status.startswith(f"{STATUS}; the last reload changed nothing: can't read lb1.toml")
    with service.reloading():
        pass
    assert manager.heard()[-1] == ["READY=1", STATUS]


def test_the_status_counts_a_real_server_as_up_if_it_is_in_every_service(manager: Manager) -> None:
    director, _ = started(observation(fw2=None))
    Service(Notifier(manager.address), director.servers, lambda: 2).ready()
    assert manager.heard() == [["READY=1", "STATUS=2 services, 3 real servers, 2 up"]]


def test_a_status_that_did_not_change_is_not_told_again(manager: Manager) -> None:
    service = a_service(manager)
    service.ready()
    kept_for(service, 0.05)
    assert manager.heard() == [["READY=1", STATUS]]


def test_the_watchdog_hears_of_a_director_whose_sweep_comes_round(manager: Manager) -> None:
    service = a_service(manager, watchdog_s=30)
    service.ready()
    kept_for(service, 0.05)
    assert ["WATCHDOG=1"] in manager.heard()


def test_the_watchdog_hears_nothing_of_a_director_whose_sweep_stands_still(manager: Manager) -> None:
    service = a_service(manager, watchdog_s=0.01)
    service.pulse.beat(-1)
    kept_for(service, 0.05)
    assert ["WATCHDOG=1"] not in manager.heard()


def test_a_pulse_is_late_when_it_does_not_come_round_as_it_said() -> None:
    now = 0.0
    pulse = Pulse(lambda: now)
    pulse.beat(pause_s=20)
    now = 49.0
    assert pulse.alive(patience_s=30)
    now = 51.0
    assert not pulse.alive(patience_s=30)


def test_what_systemd_left_in_the_environment_is_not_handed_on() -> None:
    environment = {"NOTIFY_SOCKET": "/run/none", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    assert Notifier.taken_from(environment).watchdog_s == 3
    assert environment == {"A": "b"}


@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}]
)
def test_a_watchdog_of_nobody_or_of_another_process_is_none(environment: dict[str, str]) -> None:
    assert Notifier.taken_from(environment).watchdog_s is None


def test_a_director_without_a_service_manager_tells_nobody_and_asks_nothing() -> None:
    def asked() -> list[ServerReport]:
        raise AssertionError

    service = Service(Notifier(), asked, lambda: 2)
    service.ready()
    with service.reloading():
        service.stopping()
    kept_for(service, 0.05)


def test_a_manager_that_does_not_listen_is_logged_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier(str(tmp_path / "gone")).tell("READY=1")
    assert "can't tell the service manager READY=1: No such file" in caplog.text
