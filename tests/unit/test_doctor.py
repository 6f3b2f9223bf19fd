"""What the doctor finds: judged from readings, read from this machine, and shown."""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from lasthop.daemon.doctor import diagnose, read_machine, render
from lasthop.model.configuration import Configuration
from lasthop.model.director import Director
from lasthop.model.leg import Leg, Mode
from lasthop.model.vlan import Vlan
from lasthop.network.fake import FakeNetwork
from lasthop.network.interface import Link
from lasthop.policy.findings import Finding, Interface, Machine, Severity, any_error, error, judge_machine, warning
from lasthop.policy.leg_findings import judge_configuration
from lasthop.policy.vlan_devices import commands

if TYPE_CHECKING:
    from collections.abc import Iterable

GIB = 1 << 30
NEEDED = 1 << 39 | 1 << 38 | 1 << 13 | 1 << 12
NIC = Interface(
    up=True, mtu=1500, driver="ice", virtual=False, xdp=True, lro=False, rp_filter=2, send_redirects=False
)  # fmt: skip
HEALTHY = Machine(
    kernel="6.12.9-amd64",
    btf=True,
    bpffs=True,
    capabilities=NEEDED,
    initial_user_namespace=True,
    libbpf="1.5",
    bpf_jit=1,
    ip_forward=True,
    memory_available=16 * GIB,
    interfaces={"eth0": NIC, "eth1": NIC},
)
OUTSIDE, INSIDE = Leg("outside", "eth0", "edge"), Leg("firewalls", "eth1", "edge")


def configured(*legs: Leg, connections: int = 1_000_000) -> Configuration:
    return Configuration(Director("lb1", connections=connections), legs or (OUTSIDE, INSIDE), ())


def lacking(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.ok]


def with_interface(interface: Interface) -> Machine:
    """A healthy machine whose eth0 is `interface`."""
    return replace(HEALTHY, interfaces={"eth0": interface, "eth1": NIC})


def test_a_healthy_machine_lacks_nothing() -> None:
    findings = judge_machine(HEALTHY) + judge_configuration(configured(), HEALTHY)
    assert not lacking(findings)
    assert not any_error(findings)
    assert not any(finding.remedy_command for finding in findings)


@pytest.mark.parametrize(
    ("machine", "subject", "severity", "what", "remedy"),
    [
        (replace(HEALTHY, kernel="5.10.0-8"), "kernel", "error", "older than 6.1", "apt install linux-image"),
        (replace(HEALTHY, kernel="strange"), "kernel", "error", "older than 6.1", "reboot"),
        (replace(HEALTHY, btf=False), "BTF", "error", "CONFIG_DEBUG_INFO_BTF", "apt install linux-image"),
        (replace(HEALTHY, bpffs=False), "bpffs", "error", "to pin to", "mount -t bpf bpf /sys/fs/bpf"),
        (replace(HEALTHY, libbpf=None), "libbpf", "error", "cannot be loaded", "apt install libbpf1"),
        (replace(HEALTHY, bpf_jit=0), "BPF JIT", "warning", "interpreted", "sysctl -w net.core.bpf_jit_enable=1"),
        (replace(HEALTHY, initial_user_namespace=False), "capabilities", "error", "user namespace", "outside"),
    ],
)
def test_what_the_machine_lacks_is_found_with_its_remedy(
    machine: Machine, subject: str, severity: str, what: str, remedy: str
) -> None:
    (found,) = lacking(judge_machine(machine))
    assert (found.subject, found.severity) == (subject, severity)
    assert what in found.what
    assert remedy in found.remedy_command


def test_missing_capabilities_are_named_with_the_line_for_the_unit() -> None:
    (found,) = lacking(judge_machine(replace(HEALTHY, capabilities=1 << 12)))
    assert [f"CAP_{name} (" in found.what for name in ("BPF", "PERFMON", "NET_RAW", "NET_ADMIN")] == [1, 1, 1, 0]
    assert found.remedy_command.endswith('AmbientCapabilities="CAP_BPF CAP_PERFMON CAP_NET_RAW"')


def test_sys_admin_stands_for_bpf_and_perfmon_as_in_the_kernel() -> None:
    assert not lacking(judge_machine(replace(HEALTHY, capabilities=1 << 12 | 1 << 13 | 1 << 21)))


@pytest.mark.parametrize(("kernel", "how"), [("6.1.0-40-amd64", "clsact"), ("6.5.1", "clsact"), ("6.6.0", "tcx")])
def test_the_way_tc_is_attached_is_told_and_lacks_nothing(kernel: str, how: str) -> None:
    findings = judge_machine(replace(HEALTHY, kernel=kernel))
    assert not lacking(findings)
    assert any(finding.subject == "tc" and how in finding.what for finding in findings)


def test_a_kernel_that_does_not_forward_is_a_note_with_the_command() -> None:
    findings = judge_machine(replace(HEALTHY, ip_forward=False))
    assert not lacking(findings)
    assert [finding.remedy_command for finding in findings if finding.subject == "forwarding"] == [
        "sysctl -w net.ipv4.ip_forward=1"
    ]


def test_a_machine_that_does_not_forward_ipv6_is_told_how() -> None:
    findings = judge_machine(replace(HEALTHY, ip6_forward=False))
    (told,) = (finding for finding in findings if finding.subject == "forwarding")
    assert (told.ok, told.remedy_command) == (True, "sysctl -w net.ipv6.conf.all.forwarding=1")


def test_a_machine_that_does_not_tell_is_not_accused() -> None:
    silent = replace(HEALTHY, bpf_jit=None, ip_forward=None, memory_available=None)
    silent = replace(silent, interfaces={"eth0": Interface(up=True, mtu=1500, driver="", virtual=False)})
    findings = judge_machine(silent) + judge_configuration(configured(OUTSIDE), silent)
    assert not lacking(findings)
    assert any("unknown" in finding.what for finding in findings if finding.subject == "leg outside")


@pytest.mark.parametrize(
    ("interface", "severity", "what", "remedy"),
    [
        (replace(NIC, up=False), "warning", "down", "ip link set eth0 up"),
        (replace(NIC, lro=True), "error", "large receive offload", "ethtool -K eth0 lro off"),
        (replace(NIC, rp_filter=1), "warning", "strict", "sysctl -w net.ipv4.conf.eth0.rp_filter=2"),
    ],
)
def test_what_an_interface_lacks_is_found_with_its_remedy(
    interface: Interface, severity: str, what: str, remedy: str
) -> None:
    (found,) = lacking(judge_configuration(configured(), with_interface(interface)))
    assert (found.subject, found.severity, found.remedy_command) == ("leg outside", severity, remedy)
    assert what in found.what


def test_a_leg_without_interface_is_an_error_and_nothing_else_is_said_of_it() -> None:
    (found,) = judge_configuration(configured(Leg("dmz", "eth9", "edge"), connections=1), HEALTHY)[:1]
    assert found == error("leg dmz", "there is no interface 'eth9'", "ip link")


@pytest.mark.parametrize(
    ("mode", "virtual", "xdp", "what"),
    [
        (Mode.AUTO, False, True, "ice: native XDP"),
        (Mode.AUTO, False, False, "ice: no native XDP, tc alone"),
        (Mode.AUTO, False, None, "ice: whether it has native XDP is unknown"),
        (Mode.AUTO, True, True, "ice: tc, as on every virtual interface"),
        (Mode.TC, False, True, "ice: tc, as configured"),
        (Mode.XDP, False, True, "ice: native XDP"),
    ],
)
def test_the_way_a_leg_will_be_attached_is_told(mode: Mode, xdp: bool | None, what: str, *, virtual: bool) -> None:
    machine = with_interface(replace(NIC, virtual=virtual, xdp=xdp))
    assert what in [finding.what for finding in judge_configuration(configured(replace(OUTSIDE, mode=mode)), machine)]


def test_hidden_vlan_tags_leave_tc_alone_and_are_an_error_where_xdp_is_wanted() -> None:
    machine = with_interface(replace(NIC, rxvlan=True))
    found = [each for each in judge_configuration(configured(), machine) if "VLAN tags" in each.what]
    assert [(each.severity, each.remedy_command) for each in found] == [("ok", "ethtool -K eth0 rxvlan off")]
    (lack,) = lacking(judge_configuration(configured(replace(OUTSIDE, mode=Mode.XDP)), machine))
    assert (lack.severity, lack.remedy_command) == ("error", "ethtool -K eth0 rxvlan off")


def test_a_tagged_leg_without_a_vlan_interface_is_a_warning_with_the_line_that_makes_it() -> None:
    tagged = configured(replace(OUTSIDE, vlan=Vlan(100)))
    (found,) = lacking(judge_configuration(tagged, HEALTHY))
    assert (found.severity, found.remedy_command) == ("warning", commands("eth0", Vlan(100)))
    assert not lacking(judge_configuration(tagged, replace(HEALTHY, vlan_devices=frozenset({"outside"}))))


def test_native_xdp_wanted_from_a_driver_without_it_is_an_error() -> None:
    machine = with_interface(replace(NIC, xdp=False))
    (found,) = lacking(judge_configuration(configured(replace(OUTSIDE, mode=Mode.XDP)), machine))
    assert (found.severity, found.remedy_command) == ("error", "set mode = \"tc\" on leg 'outside'")


def test_mtus_that_differ_within_a_zone_are_a_warning() -> None:
    (found,) = lacking(judge_configuration(configured(), with_interface(replace(NIC, mtu=1400))))
    assert (found.subject, found.remedy_command) == ("zone edge", "ip link set eth0 mtu 1500")
    assert "eth0 1400, eth1 1500" in found.what


def test_mtus_that_differ_between_zones_are_no_matter() -> None:
    legs = configured(OUTSIDE, replace(INSIDE, zone="core"))
    assert not lacking(judge_configuration(legs, with_interface(replace(NIC, mtu=1400))))


def test_redirects_matter_on_a_leg_that_is_alone_in_its_zone() -> None:
    machine = with_interface(replace(NIC, send_redirects=True))
    assert not lacking(judge_configuration(configured(), machine))
    (found,) = lacking(judge_configuration(configured(OUTSIDE), machine))
    assert found.severity is Severity.WARNING
    assert found.remedy_command == (
        "sysctl -w net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0"
    )  # fmt: skip


def test_a_name_with_a_dot_is_written_as_sysctl_takes_it() -> None:
    machine = replace(HEALTHY, interfaces={"eth0.100": replace(NIC, rp_filter=1)})
    (found,) = lacking(judge_configuration(configured(Leg("outside", "eth0.100", "edge")), machine))
    assert found.remedy_command == "sysctl -w net/ipv4/conf/eth0.100/rp_filter=2"


@pytest.mark.parametrize(
    ("available", "severity"), [(2 * GIB, Severity.OK), (300 << 20, Severity.WARNING), (150 << 20, Severity.ERROR)]
)
def test_a_table_must_fit_into_the_memory_that_is_available(available: int, severity: Severity) -> None:
    findings = judge_configuration(configured(), replace(HEALTHY, memory_available=available))
    (found,) = [finding for finding in findings if finding.subject == "memory"]
    assert found.severity is severity
    if severity is Severity.ERROR:
        assert found.remedy_command == "set [table] connections = 465_000"


def test_this_machine_can_be_read_without_privileges() -> None:
    loopback = configured(Leg("loop", "lo", "edge"))
    with closing(FakeNetwork()) as network:
        network.put_link(Link(1, "lo", "00:00:00:00:00:00", 65536, up=True))
        machine, findings = read_machine(loopback, network), diagnose(loopback, network)
    assert machine.kernel
    assert machine.memory_available
    assert machine.interfaces["lo"].mtu
    assert not machine.interfaces["lo"].lro
    assert findings[-1].subject == "memory"


def test_findings_can_be_written_as_json() -> None:
    assert asdict(warning("zone edge", "MTUs differ", "ip link")) == {
        "subject": "zone edge",
        "ok": False,
        "severity": "warning",
        "what": "MTUs differ",
        "remedy_command": "ip link",
    }


def test_remedies_are_shown_whole_and_as_they_are_written_however_narrow_the_terminal() -> None:
    screen = io.StringIO()
    remedy = "set [table] connections = 409_000" + " and more" * 20
    render([error("memory", "1,000,000 connections", remedy)], Console(file=screen, width=40))
    sign, command, summary = screen.getvalue().splitlines()
    assert sign == "✘ memory  1,000,000 connections"
    assert command.strip() == remedy
    assert summary == "1 error to mend."


def test_the_summary_counts_errors_and_warnings() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80)
    render([error("a", "b", "c"), warning("a", "b", "c"), warning("a", "b", "c")], console)
    render([], console)
    lines = screen.getvalue().splitlines()
    assert lines[-2:] == ["1 error and 2 warnings to mend.", "This machine lacks nothing."]
