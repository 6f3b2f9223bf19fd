"""ipvsadm's grammar: every word of it, and every complaint, beside those of ipvsadm 1.31."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from lasthop.cli.ipvsadm.names import Endpoint, Names, endpoint
from lasthop.cli.ipvsadm.numbers import leading, number
from lasthop.cli.ipvsadm.options import OPTIONS, PERHAPS
from lasthop.cli.ipvsadm.refusal import IpvsadmError
from lasthop.cli.ipvsadm.request import Request, parse
from tests.unit.ipvsadm_director import Said, ipvsadm, operations
from tests.unit.ipvsadm_golden import GOLDEN, Block, blocks

if TYPE_CHECKING:
    from collections.abc import Callable

USAGE = blocks("cli-07-usage.txt")
HELP = (GOLDEN / "help.txt").read_text()


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A resolver that knows what stands in it, both ways."""
    known = {"rs1": "10.1.0.11", "rs2.example.org": "10.1.0.12"}

    def by_name(name: str) -> str:
        if name not in known:
            raise socket.gaierror
        return known[name]

    def by_address(address: str) -> tuple[str, list[str], list[str]]:
        for name, each in known.items():
            if each == address:
                return name, [], [address]
        raise socket.herror

    monkeypatch.setattr(socket, "gethostbyname", by_name)
    monkeypatch.setattr(socket, "gethostbyaddr", by_address)
    endpoint.cache_clear()
    return known


@pytest.mark.parametrize("block", USAGE, ids=lambda block: " ".join(block.words))
def test_what_is_wrong_with_a_command_line_is_said_as_ipvsadm_says_it(block: Block) -> None:
    assert ipvsadm(operations(), *block.words) == Said(block.status, "", block.text)


@pytest.mark.parametrize(
    "words",
    [
        ("-A", "-f", "1", "-p", "300", "-s", "rr"),
        ("--add-service", "--fwmark-service", "1", "--persistent", "300", "--scheduler", "rr"),
        ("--add-service", "--fwmark-service=1", "--persistent=300", "--scheduler=rr"),
        ("-A", "-f1", "-p300", "-srr"),
        ("-Af", "1", "-p=300", "-s=rr"),
        ("-Af1", "-srr", "-p", "300", "--"),
        ("-A", "-f", " +1", "-s", "rr", "-p", "300"),
    ],
)
def test_all_spellings_of_a_command_line_mean_the_same(words: tuple[str, ...]) -> None:
    request = parse(words)
    assert (request.command, request.label, request.persistence_s, request.scheduler) == (
        "add-service", "FWM 1", 300, "rr",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "seconds"), [(("-p",), 360), (("-p", "-s", "rr"), 360), (("-p", "7"), 7), (("-p7",), 7), ((), None)]
)
def test_persistence_takes_the_next_word_if_it_can_be_a_timeout(words: tuple[str, ...], seconds: int | None) -> None:
    assert parse(["-A", "-f", "1", *words]).persistence_s == seconds


def test_options_in_one_word_are_taken_one_by_one() -> None:
    request = parse(["-Lnc"])
    assert (request.command, request.has("numeric"), request.has("connection")) == ("list", True, True)


@pytest.mark.parametrize(
    ("words", "check"),
    [
        (("-C",), lambda r: r.command == "flush"),
        (("-l",), lambda r: r.command == "list"),
        (("-R",), lambda r: r.command == "restore"),
        (("-Z",), lambda r: r.command == "zero"),
        (("-v", "--nonsense"), lambda r: r.command == "version"),
        (("-h",), lambda r: r.command == "help"),
        (("-L", "--sort", "--sort", "--syncid", "3"), lambda r: r.command == "list"),
        (("--set", "1", "2", "3"), lambda r: r.timeouts == (1, 2, 3)),
        (("--set", "0", "--", "0", "5"), lambda r: r.timeouts == (0, 0, 5)),
        (("--start-daemon", "master", "--mcast-group", "ff02::1"), lambda r: r.role == "master"),
        (("-A", "-u", "1.2.3.4:domain", "-o"), lambda r: r.label == "UDP 1.2.3.4:53" and r.one_packet),
        (("-A", "--sctp-service", "1.2.3.4:9"), lambda r: r.label == "SCTP 1.2.3.4:9"),
        (("-A", "-t", "0x7f.1:http"), lambda r: r.label == "TCP 127.0.0.1:80"),
        (("-A", "-t", "rs1:80"), lambda r: r.label == "TCP 10.1.0.11:80"),
        (("-A", "-t", "[2001:DB8::80]:80"), lambda r: r.label == "TCP [2001:db8::80]:80"),
        (("-A", "-f", "8", "-6", "-M", "64x"), lambda r: (r.label, r.netmask) == ("FWM 8 IPv6", "64")),
        (("-A", "-f", "1", "-M", "255.255.0.0"), lambda r: r.netmask == "255.255.0.0"),
        (("-A", "-f", "1", "-s", "sh", "-b", "sh-port,,flag-1"), lambda r: r.flags == ("sh-port", "flag-1")),
        (("-A", "-f", "1", "-b", ","), lambda r: r.flags == ()),
        (("-a", "-f", "1", "-r", "rs1"), lambda r: (r.server, r.server_name) == ("10.1.0.11", "rs1")),
        (("-a", "-f", "1", "-r", "rs1:http"), lambda r: r.server_port == 80),
        (("-a", "-f", "1", "-r", "10.0.0.1"), lambda r: (r.server, r.server_name) == ("10.0.0.1", "")),
        (("-a", "-r", "10.0.0.1", "-t", "1.1.1.1:80", "-w5"), lambda r: r.weight == 5),
        (("-e", "-f", "1", "-r", "10.0.0.1", "-x", "9", "-y=3"), lambda r: (r.upper, r.lower) == (9, 3)),
        (("-a", "-f", "1", "-r", "10.0.0.1", "-i", "--tun-type", "gre", "--tun-csum"), lambda r: r.forward == "i"),
    ],
)
def test_a_command_line_that_ipvsadm_takes_is_taken(words: tuple[str, ...], check: Callable[[Request], bool]) -> None:
    assert check(parse(words))


def test_every_option_of_the_help_is_known_in_both_spellings() -> None:
    said = {word for line in HELP.splitlines() if line.startswith("  --") for word in line.replace("|", " ").split()}
    known = {f"--{option.name}" for option in OPTIONS} | {f"-{option.letter}" for option in OPTIONS}
    assert {word for word in said if word.startswith("-")} <= known
    assert [option.name for option in OPTIONS if option.takes == PERHAPS] == ["persistent"]


def test_help_and_version_are_those_of_ipvsadm() -> None:
    assert ipvsadm(operations(), "-h") == Said(0, HELP, "")
    assert ipvsadm(operations(), "--help") == Said(0, HELP, "")
    for option in ("-v", "--version"):
        assert ipvsadm(operations(), option) == Said(0, (GOLDEN / "version.txt").read_text(), "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        (" +5", 5),
        ("\t-0", 0),
        ("", None),
        ("5 ", None),
        ("0x5", None),
        ("1_0", None),
        ("٣", None),
        ("101", None),
    ],
)
def test_numbers_are_read_as_c_reads_them(text: str, value: int | None) -> None:
    assert number(text, 0, 100) == value


def test_a_number_too_long_for_anything_is_none() -> None:
    assert number("9" * 5000, 0, 100) is None
    assert (leading("12x"), leading("x"), leading("")) == (12, 0, 0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1.2.3.4", Endpoint(4, "1.2.3.4", "", None)),
        ("1.2:5", Endpoint(4, "1.0.0.2", "", 5)),
        ("[1.2.3.4]:80", Endpoint(4, "1.2.3.4", "", None)),
        ("[1.2.3.4:5]:80", Endpoint(4, "1.2.3.4", "", 5)),
        ("::1", Endpoint(6, "::1", "", None)),
        ("[::1]:http", Endpoint(6, "::1", "", 80)),
        ("rs2.example.org:8", Endpoint(4, "10.1.0.12", "rs2.example.org", 8)),
        ("nobody", None), ("80", None), ("", None), (":80", None), ("[::1]", None), ("[::1", None), ("1.2.3.4:", None),
        ("x" * 300, None),
    ],
)  # fmt: skip
def test_addresses_are_read_as_ipvsadm_reads_them(text: str, found: Endpoint | None) -> None:
    assert endpoint(text, "tcp") == found


def test_names_are_shown_where_they_are_known_and_each_is_asked_for_once(
    offline: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(numeric=False)
    assert names.shown("10.1.0.11", 80, "tcp") == "rs1:http"
    offline.clear()
    assert names.shown("10.1.0.11", 80, "") == "rs1:80"
    assert names.shown("10.1.0.13", 53, "udp") == "10.1.0.13:domain"
    assert names.shown("2001:db8::1", 1, "sctp") == "[2001:db8::1]:1"
    monkeypatch.setattr(socket, "gethostbyaddr", None)
    assert Names(numeric=True).shown("10.1.0.11", 80, "tcp") == "10.1.0.11:80"


def test_a_refusal_keeps_its_exit_code_on_a_line_of_a_file() -> None:
    with pytest.raises(IpvsadmError) as caught:
        parse(["-A", "-f", "0"])
    assert caught.value.at(3, "-A -f 0").status == caught.value.status == 2
