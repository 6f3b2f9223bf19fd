"""keepalived.conf: what becomes a service, a real server or a health check, and what is said to be left out."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from lasthop.config import parse
from lasthop.config.dump import dump
from lasthop.config.keepalived import translate
from lasthop.daemon.commands import keepalived
from lasthop.errors import ConfigurationError
from lasthop.model.health import Check, HealthCheck
from lasthop.model.service import Persistence, Service

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
! Configuration File for keepalived
global_defs { router_id LVS_1 }          # nothing of lasthop's
vrrp_instance VI_1 {
    state MASTER
    virtual_ipaddress { 192.0.2.1/24 dev eth0 }
}
virtual_server fwmark 7 {
    delay_loop 6
    lb_algo wrr
    lb_kind DR
    persistence_timeout 600
    persistence_granularity 255.255.255.0
    quorum 2
    hysteresis 1
    sorry_server 10.0.1.99 80
    real_server 10.0.1.11 0 {
        weight 3
        uthreshold 100
        lthreshold 50
        HTTP_GET {
            url {
                path /up
                status_code 200-299 301
            }
            connect_ip 10.0.2.11
            connect_port 8080
            connect_timeout 3
            retry 2
        }
    }
    real_server 10.0.1.12 0
    {
        notify_down "/usr/local/bin/tell down"
        TCP_CHECK { connect_port 22 }
    }
}
"""


NO_VRRP = "lasthop moves no addresses: let keepalived go on with VRRP, and give the leg its virtual_macs"


def services(text: str) -> list[Service]:
    return list(translate(text, "keepalived.conf", "lb1").configuration.services)


def left_out(text: str) -> list[str]:
    return list(translate(text, "keepalived.conf", "lb1").left_out)


def checker(text: str, port: int = 80) -> HealthCheck | None:
    """The check of a service whose one real server has this checker."""
    (service,) = services(
        f"virtual_server 203.0.113.80 80 {{\ndelay_loop 10\nreal_server 10.0.1.11 {port} {{\n{text}\n}}\n}}"
    )
    return service.health


def test_a_whole_file_becomes_a_configuration_that_is_taken() -> None:
    (service,) = services(WHOLE)
    assert (service.label, service.scheduler, service.quorum, service.hysteresis) == ("FWM 7", "wrr", 2, 1)
    assert service.persistence == Persistence(600.0, 24)
    first, second = service.real_servers
    assert (str(first.address), first.weight, first.upper_threshold, first.lower_threshold) == ("10.0.1.11", 3, 100, 50)
    assert (first.health_target, second.health_target) == (ip_address("10.0.2.11"), None)
    assert service.health == HealthCheck(
        Check.HTTP, port=8080, interval=6.0, timeout=3.0, rise=1, fall=3, path="/up", status=((200, 299), (301, 301))
    )
    translation = translate(WHOLE, "keepalived.conf", "lb1")
    assert parse(dump(translation.configuration), "made.toml").services[0].health == service.health


def test_each_thing_that_is_left_out_is_told_with_its_line_and_why() -> None:
    told = {line.split(": ")[0].rpartition(":")[2]: line.split(": ", 1)[1] for line in left_out(WHOLE)}
    assert told == {
        "4": "left out: vrrp_instance VI_1: " + NO_VRRP,
        "16": "left out: sorry_server 10.0.1.99 80: lasthop has nothing like it",
        "34": "left out: notify_down /usr/local/bin/tell down: lasthop has nothing like it",
        "35": "left out: TCP_CHECK: a service has one check for all its real servers, and this one has http already",
        "8": "mark 7: say which packets get it, by match or by [[mark]]",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TCP_CHECK { connect_timeout 3 }", {"check": Check.TCP, "port": 80, "timeout": 3.0}),
        ("TCP_CHECK {\n}", {"check": Check.TCP, "port": 80, "timeout": 5.0}),
        ("PING_CHECK { retry 4 }", {"check": Check.PING, "fall": 5, "timeout": 5.0}),
        ("SSL_GET {\nurl {\npath /a\nvirtualhost a.example.com\n}\n}", {
            "check": Check.HTTPS, "port": 80, "path": "/a", "host": "a.example.com", "timeout": 5.0,
        }),
        ("UDP_CHECK { connect_port 53 }", {"check": Check.UDP, "port": 53, "timeout": 5.0}),
        ("DNS_CHECK {\ntype a\nname example.com\n}", {
            "check": Check.DNS, "port": 80, "record": "A", "name": "example.com", "timeout": 5.0,
        }),
        ('MISC_CHECK {\nmisc_path "/bin/check -v \'a b\'"\nmisc_timeout 60\nmisc_dynamic\n}', {
            "check": Check.SCRIPT, "command": ("/bin/check", "-v", "a b"), "timeout": 10.0, "weight_by_status": True,
        }),
        ("TCP_CHECK { delay_loop 2 }", {"check": Check.TCP, "port": 80, "interval": 2.0, "timeout": 2.0}),
    ],
)  # fmt: skip
def test_each_checker_becomes_a_check_with_what_it_says(text: str, expected: dict[str, Any]) -> None:
    assert checker(text) == HealthCheck(**({"interval": 10.0, "rise": 1, "fall": 1} | expected))


def test_services_by_address_have_their_protocol_and_groups_become_services_of_their_own() -> None:
    made = services(
        """
        virtual_server_group web {
            203.0.113.80 80
            2001:db8::80 443
            fwmark 9
        }
        virtual_server group web {
            protocol UDP
            ops
            lvs_sched mh
            mh-port
            sh-port
            real_server 10.0.1.11 80 { }
        }
        """
    )
    assert [each.label for each in made] == ["UDP 203.0.113.80:80", "UDP [2001:db8::80]:443", "FWM 9"]
    assert {(each.scheduler, each.scheduler_flags, each.one_packet) for each in made} == {("mh", ("mh-port",), True)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "virtual_server 1.2.3.4 80 {\nlb_kind NAT\n}",
            "2: left out: lb_kind NAT: lasthop changes MAC addresses",
        ),
        ("virtual_server 1.2.3.4 80 {\nlb_algo dyn\n}", "no such scheduler; wlc is in its place"),
        ("virtual_server 1.2.3.4 0 {\n}", "takes every port, which lasthop has with persistence_timeout only"),
        ("virtual_server 1.2.3.4-5 80 {\n}", "is neither fwmark N nor one address with a port"),
        ("virtual_server group no {\n}", "there is no such virtual_server_group"),
        (
            "virtual_server 1.2.3.4 80 {\n}\nvirtual_server 1.2.3.4 80 {\n}",
            "3: left out: virtual_server 1.2.3.4 80: ",
        ),
        ("virtual_server 1.2.3.4 80 {\nprotocol ICMP\n}", "is none of tcp, udp, sctp"),
        ("virtual_server 1.2.3.4 80 {\nreal_server here 80 { }\n}", "has no address"),
        (
            "virtual_server 1.2.3.4 80 {\nreal_server 10.0.1.1 80 { }\nreal_server 10.0.1.1 81 { }\n}",
            "3: left out: real_server 10.0.1.1 81: is there already: what is balanced keeps its port",
        ),
        ("virtual_server 1.2.3.4 80 {\nquorum many\n}", "2: left out: quorum many: is no number"),
        (
            "virtual_server 1.2.3.4 80 {\nreal_server 10.0.1.1 80 {\nSMTP_CHECK { }\n}\n}",
            "SMTP_CHECK: lasthop has ",
        ),
        ("virtual_server 1.2.3.4 80 {\nreal_server 10.0.1.1 0 {\nTCP_CHECK { }\n}\n}", "TCP_CHECK: has no port to ask"),
    ],
)
def test_what_lasthop_has_not_is_told(text: str, told: str) -> None:
    assert any(told in line for line in left_out(text)), left_out(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("virtual_server 1.2.3.4 80 {\n", "line 1 = brace: is never closed; add '}' where the block ends"),
        ("}\n", "line 1 = brace: closes what was not opened; remove it"),
        ("{\n}\n", "line 1 = brace: opens a block without a name; write its keyword before it"),
    ],
)
def test_braces_that_do_not_match_are_an_error_with_their_line(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        translate(text, "keepalived.conf", "lb1")
    assert told in str(caught.value)


def test_the_command_prints_the_file_and_tells_the_rest_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text(WHOLE)
    done = CliRunner().invoke(keepalived, [str(file), "--director", "lb7"])
    assert done.exit_code == 0
    assert parse(done.stdout, "made.toml").director.name == "lb7"
    assert len(done.stderr.splitlines()) == 5


def test_what_no_configuration_can_hold_is_printed_and_told(tmp_path: Path) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text("virtual_server 203.0.113.80 80 {\nreal_server 127.0.0.1 80 {\n}\n}")
    done = CliRunner().invoke(keepalived, [str(file)])
    assert "127.0.0.1" in done.stdout
    assert isinstance(done.exception, ConfigurationError)
    assert "is not the address of one machine on a network" in str(done.exception)
