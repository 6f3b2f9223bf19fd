"""The Debian package on a clean Debian that boots systemd: installed, run as a service, upgraded, removed.

One machine for all tests, in the order of the file: each begins where the one before it left off.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from distribution import deb
from tests.packages import debian_root
from tests.packages.booted import Booted, control_groups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

UNIT = "lasthop@lb1.service"
FILE = "etc/lasthop/lb1.toml"
_WIRING = """
link add eth0 address 02:00:00:00:00:02 type veth peer name far-eth0
link add eth1 address 02:00:00:00:00:03 type veth peer name far-eth1
address add 192.0.2.2/24 dev eth0
address add 10.0.1.1/24 dev eth1
link set eth0 up
link set far-eth0 up
link set eth1 up
link set far-eth1 up
"""

PING = '[service.health]\ncheck = "ping"\ntarget = "10.0.1.1"\ninterval = 1\n'
SCRIPT = '[service.health]\ncheck = "script"\ncommand = ["/usr/bin/test", "-d", "/etc/lasthop"]\ninterval = 1\n'
LEGS = 'mark = 2\nmatch = [{ leg = "firewalls" }]\n'
HEALTH = {'scheduler = "wlc"\n': f'scheduler = "wlc"\n{PING}', LEGS: f"{LEGS}{SCRIPT}"}
CLOSED = {"[director]\n": '[director]\non_detach = "closed"\n'}

if os.geteuid():
    pytest.skip("a Debian of its own needs root", allow_module_level=True)
if control_groups() is None:
    pytest.skip("there are no control groups of version 2 that could be written", allow_module_level=True)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deb.build(tmp_path_factory.mktemp("package"), level=0)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[Booted]:
    """A booted Debian with interfaces, on which the package was never installed."""
    root = tmp_path_factory.mktemp("debian") / "root"
    debian_root.unpack(root)
    shutil.copyfile(package, root / "root" / "lasthop.deb")
    (root / "root" / "wiring").write_text(_WIRING.lstrip())
    try:
        with Booted(root) as made:
            made.must("ip", "-batch", "/root/wiring")
            yield made
    finally:
        shutil.rmtree(root)


def attached(machine: Booted) -> bool:
    """Whether a data plane of lasthop's is pinned."""
    return machine.run("test", "-d", "/sys/fs/bpf/lasthop/lb1/maps").returncode == 0


def runs_anew(machine: Booted, before: str) -> bool:
    """Whether the director runs, by another process than `before`."""
    return machine.property(UNIT, "SubState") == "running" and machine.property(UNIT, "MainPID") not in (before, "0")


def apply(machine: Booted, changes: Mapping[str, str], verb: str = "reload") -> None:
    """Let the example, with some of its text replaced, be what runs."""
    text = (machine.root / f"{FILE}.example").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    (machine.root / FILE).write_text(text)
    machine.must("systemctl", verb, UNIT)


def servers(machine: Booted) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(machine.must("lasthop", "servers", "--json"))
    return told


def test_it_is_installed_without_a_network_and_nothing_is_started(machine: Booted) -> None:
    machine.must("dpkg", "--install", "/root/lasthop.deb")
    assert machine.must("lasthop", "--version").startswith("lasthop ")
    assert "ok: director lb1" in machine.must("lasthop", "check", "/etc/lasthop/lb1.toml.example")
    assert machine.must("getent", "group", "lasthop")
    assert "UNIT" not in machine.must("systemctl", "list-units", "--no-legend", "lasthop@*")
    assert machine.must("systemd-analyze", "verify", "--man=no", f"/usr/lib/systemd/system/{UNIT}") == ""


def test_doctor_finds_what_the_machine_has(machine: Booted) -> None:
    findings = json.loads(machine.run("lasthop", "doctor", "--json").stdout)
    assert [each for each in findings if each["severity"] == "error"] == []


def test_a_director_becomes_active_when_it_forwards_and_says_how_it_is(machine: Booted) -> None:
    shutil.copyfile(machine.root / f"{FILE}.example", machine.root / FILE)
    machine.must("systemctl", "enable", "--now", UNIT)
    assert machine.property(UNIT, "ActiveState") == "active"
    assert attached(machine)
    assert machine.property(UNIT, "StatusText") == "2 services, 5 real servers, 0 up"
    assert "Director lb1" in machine.must("lasthop", "status")


def test_it_has_four_capabilities_and_no_way_to_others(machine: Booted) -> None:
    process = machine.property(UNIT, "MainPID")
    status = dict(line.split(":\t", 1) for line in machine.must("cat", f"/proc/{process}/status").splitlines())
    four = f"{1 << 39 | 1 << 38 | 1 << 13 | 1 << 12:016x}"
    assert (status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]) == (four, four, "1", "2")
    exposure = re.search(r"level for \S+: ([\d.]+)", machine.must("systemd-analyze", "security", UNIT))
    assert exposure is not None
    assert float(exposure[1]) <= 2.5


def test_its_log_is_in_the_journal_with_fields(machine: Booted) -> None:
    lines = machine.must("journalctl", "--output=json", "LASTHOP_DIRECTOR=lb1").splitlines()
    (entry,) = [each for each in map(json.loads, lines) if each["MESSAGE"] == "director lb1 is running"]
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("6", "lasthop")
    assert entry["CODE_FILE"].endswith("/lasthop/daemon/process.py")


def test_a_reload_applies_the_file_and_one_with_a_mistake_fails(machine: Booted) -> None:
    file = machine.root / FILE
    good = file.read_text()
    file.write_text(f"{good}weight = 7\n")
    machine.must("systemctl", "reload", UNIT)
    machine.wait(lambda: 7 in [each["weight"] for each in servers(machine)], "the new weight")
    file.write_text(f"{good}nonsense = 1\n")
    assert machine.run("systemctl", "reload", UNIT).returncode != 0
    assert machine.property(UNIT, "ActiveState") == "active"
    assert "nonsense" in machine.must("journalctl", "--unit", UNIT)
    file.write_text(good)
    machine.must("systemctl", "reload", UNIT)


def test_a_director_without_a_file_does_not_start_and_says_which_file_it_wants(machine: Booted) -> None:
    assert machine.run("systemctl", "start", "lasthop@nobody").returncode != 0
    assert "/etc/lasthop/nobody.toml" in machine.must("journalctl", "--unit", "lasthop@nobody")


def test_health_checks_work_within_what_the_unit_may_do(machine: Booted) -> None:
    apply(machine, HEALTH)

    def all_up() -> bool:
        told = json.loads(machine.must("lasthop", "health", "--json"))
        return {(each["check"], each["health"]) for each in told} == {("ping", "up"), ("script", "up")}

    machine.wait(all_up, "the first checks")
    apply(machine, {})


def test_users_of_the_group_may_look_and_change_nothing(machine: Booted) -> None:
    machine.must("useradd", "--groups", "lasthop", "reader")
    machine.must("useradd", "stranger")
    as_reader = ["setpriv", "--reuid=reader", "--regid=reader", "--init-groups"]
    assert "Director lb1" in machine.must(*as_reader, "lasthop", "status")
    assert machine.run(*as_reader, "lasthop", "disable", "fw1").returncode == 1
    as_stranger = ["setpriv", "--reuid=stranger", "--regid=stranger", "--init-groups"]
    assert machine.run(*as_stranger, "lasthop", "status").returncode == 1


def test_a_director_that_hangs_is_ended_by_the_watchdog_which_says_where_and_started_again(machine: Booted) -> None:
    drop_in = machine.root / "etc/systemd/system/lasthop@.service.d/watchdog.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nWatchdogSec=3\n")
    machine.must("systemctl", "daemon-reload")
    machine.must("systemctl", "restart", UNIT)
    before = machine.property(UNIT, "MainPID")
    machine.must("sh", "-c", f"kill -STOP {before}")
    machine.wait(lambda: runs_anew(machine, before), "the restart")
    said = machine.must("journalctl", "--unit", UNIT)
    assert "Failed with result 'watchdog'" in said
    assert "most recent call first" in said
    drop_in.unlink()
    machine.must("systemctl", "daemon-reload")
    machine.must("systemctl", "restart", UNIT)


def test_a_director_that_is_killed_is_started_again_and_its_data_plane_stays(machine: Booted) -> None:
    before = machine.property(UNIT, "MainPID")
    machine.must("sh", "-c", f"kill -KILL {before}")
    assert attached(machine)
    machine.wait(lambda: runs_anew(machine, before), "the restart")


def test_an_upgrade_starts_the_director_anew_without_taking_its_data_plane_out(machine: Booted) -> None:
    before = machine.property(UNIT, "MainPID")
    pins = machine.must("stat", "--format=%i", "/sys/fs/bpf/lasthop/lb1/maps")
    machine.must("dpkg", "--install", "/root/lasthop.deb")
    assert machine.property(UNIT, "ActiveState") == "active"
    assert machine.property(UNIT, "MainPID") != before
    assert machine.must("stat", "--format=%i", "/sys/fs/bpf/lasthop/lb1/maps") == pins


def test_a_director_that_is_stopped_leaves_its_data_plane_forwarding(machine: Booted) -> None:
    machine.must("systemctl", "stop", UNIT)
    assert machine.property(UNIT, "Result") == "success"
    assert attached(machine)
    assert machine.run("test", "-e", "/run/lasthop/lb1.lock").returncode == 0
    machine.must("systemctl", "start", UNIT)


def test_removing_the_package_is_refused_while_legs_are_to_stay_closed(machine: Booted) -> None:
    apply(machine, CLOSED)
    done = machine.run("dpkg", "--remove", "lasthop")
    assert done.returncode != 0
    assert "lasthop --director lb1 detach --open" in done.stderr
    machine.must("lasthop", "--director", "lb1", "detach", "--open")
    apply(machine, {}, verb="start")


def test_removing_the_package_stops_the_director_and_takes_its_data_plane_out(machine: Booted) -> None:
    told = machine.must("dpkg", "--remove", "lasthop")
    assert "director lb1 detached" in told
    assert not attached(machine)
    assert not (machine.root / "usr/lib/lasthop").exists()
    assert (machine.root / FILE).exists()


def test_purging_it_leaves_the_files_that_an_administrator_wrote_and_says_so(machine: Booted) -> None:
    assert "your files in /etc/lasthop are left" in machine.must("dpkg", "--purge", "lasthop")
    assert [path.name for path in (machine.root / "etc/lasthop").iterdir()] == ["lb1.toml"]
    assert not (machine.root / "var/lib/lasthop").exists()


def test_the_same_source_makes_the_same_package(package: Path, tmp_path: Path) -> None:
    assert deb.build(tmp_path, level=0).read_bytes() == package.read_bytes()


def test_lintian_has_nothing_to_say_that_is_not_answered(package: Path) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("there is no lintian: apt-get install -y lintian")
    said = subprocess.run(["lintian", "--allow-root", str(package)], capture_output=True, text=True, check=False).stdout
    assert said == ""
