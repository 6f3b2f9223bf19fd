"""What ipvsadm changes, on a director that makes and refuses edits as the real one does."""

from __future__ import annotations

import itertools
import socket
from ipaddress import IPv4Address

import pytest

from lasthop.cli.ipvsadm.edits import prefix_of
from lasthop.cli.ipvsadm.refusal import of_edit
from lasthop.errors import DirectorError, EditError, NotRunningError
from lasthop.model.director import State
from lasthop.model.edit import REFUSALS
from lasthop.model.service import Persistence
from tests.unit.ipvsadm_director import EditedOperations, Said, ipvsadm, operations
from tests.unit.ipvsadm_golden import blocks

DONE = Said(0, "", "")
NO_BITS = "0.0.0.0"  # noqa: S104 - a netmask
NO_MARK = (
    "lasthop: service FWM 1 gets no packets: no mark rule gives mark 1; add one, for instance: "
    "lasthop mark add --protocol tcp --destination-port 80 --mark 1 --leg inside\n"
)
_FROM = itertools.dropwhile(lambda block: block.words != ("-A", "-f", "7"), blocks("cli-04-shapes.txt"))
#: What cli-04 does with service FWM 7, up to where lasthop has nothing of the kind.
ERRORS = list(itertools.takewhile(lambda block: "--start-daemon" not in block.words, _FROM))


@pytest.fixture
def lb1() -> EditedOperations:
    return operations()


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"rs{number}": f"10.1.0.1{number}" for number in range(1, 5)}
    monkeypatch.setattr(socket, "gethostbyname", known.__getitem__)


def label(lb1: EditedOperations, place: int = 0) -> str:
    return lb1.configuration.services[place].label


def test_the_setup_that_lvs_people_type(lb1: EditedOperations, resolved: None) -> None:
    assert ipvsadm(lb1, "-A", "-f", "1", "-p") == Said(0, "", NO_MARK)
    for name in ("rs1", "rs2", "rs3", "rs4"):
        assert ipvsadm(lb1, "-a", "-f", "1", "-r", name) == DONE
    assert ipvsadm(lb1, "-a", "-f", "1", "-r", "rs2") == Said(255, "", "Destination already exists\n")
    (service,) = lb1.configuration.services
    assert (service.label, service.scheduler, service.persistence) == ("FWM 1", "wlc", Persistence(360))
    assert [(each.name, str(each.address), each.weight) for each in service.real_servers] == [
        ("rs1", "10.1.0.11", 1), ("rs2", "10.1.0.12", 1), ("rs3", "10.1.0.13", 1), ("rs4", "10.1.0.14", 1),
    ]  # fmt: skip
    assert ipvsadm(lb1, "-Ln").out.splitlines()[3:] == ["FWM  1 wlc persistent 360"] + [
        f"  -> 10.1.0.1{number}:0                  Route   1      0          0         " for number in range(1, 5)
    ]


def test_the_errors_and_edits_of_a_real_ipvsadm_one_after_the_other(lb1: EditedOperations) -> None:
    ipvsadm(lb1, "-A", "-f", "7", "-s", "wrr", "-p", "120")
    ipvsadm(lb1, "-a", "-f", "7", "-r", "10.1.0.11", "-w", "5")
    ipvsadm(lb1, "-a", "-f", "7", "-r", "10.1.0.12")
    assert len(ERRORS) > 20
    for block in ERRORS:
        status, out, err = ipvsadm(lb1, *block.words)
        assert (block.words, out + err, status) == (block.words, block.text, block.status)
    assert lb1.zeroed == ["FWM 7", None]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("-D", "-f", "9"), "No such service"),
        (("-E", "-t", "10.0.0.1:9", "-s", "rr"), "No such service"),
        (("-Z", "-f", "9"), "No such service"),
        (("-a", "-f", "9", "-r", "10.1.0.1"), "Service not defined"),
        (("-e", "-f", "9", "-r", "10.1.0.1"), "Service not defined"),
        (("-d", "-f", "9", "-r", "10.1.0.1"), "Service not defined"),
        (("-d", "-f", "1", "-r", "10.1.0.1"), "No such destination"),
        (("-e", "-f", "1", "-r", "10.1.0.1"), "No such destination"),
        (("-d", "-t", "10.0.0.1:80", "-r", "10.1.0.1:81"), "No such destination"),
        (("-E", "-f", "1", "-s", "nosuch"), "Scheduler or persistence engine not found"),
        (("-A", "-f", "9", "-s", "averyveryverylongname"), "Scheduler or persistence engine not found"),
    ],
)
def test_what_a_director_refuses_is_said_in_ipvsadms_words(
    words: tuple[str, ...], answer: str, lb1: EditedOperations
) -> None:
    ipvsadm(lb1, "-A", "-f", "1")
    ipvsadm(lb1, "-A", "-t", "10.0.0.1:80")
    before = lb1.configuration
    assert ipvsadm(lb1, *words) == Said(255, "", f"{answer}\n")
    assert lb1.configuration is before


@pytest.mark.parametrize(
    ("words", "status", "answer"),
    [
        (("-a", "-f", "1", "-r", "10.1.0.1", "-m"), 2, "there is only direct routing, so -m is not to be had; use -g"),
        (("-e", "-f", "1", "-r", "10.1.0.1", "-i"), 2, "there is only direct routing, so -i is not to be had; use -g"),
        (("-A", "-f", "8", "--pe", "sip"), 2, "there is no persistence engine 'sip'; leave --pe out"),
        (("-A", "-t", "[fe80::80]:80"), 255, "is a link-local address"),
        (("-A", "-f", "8", "-p", "-M", "255.0.255.0"), 2, "netmask 255.0.255.0 has ones behind a zero; "),
        (("--start-daemon", "master"), 2, "there is no sync daemon of LVS's kind; leave --start-daemon out: "),
        (("--stop-daemon", "backup"), 2, "there is no sync daemon of LVS's kind; leave --stop-daemon out: "),
        (("-A", "-f", "8", "-p", "-M", NO_BITS), 255, "/0 is no netmask to tell clients apart; use 1 to 32"),
        (("-A", "-f", "8", "-s", "wlc", "-b", "flag-1"), 255, "'flag-1' is no flag of scheduler wlc; "),
        (("-a", "-f", "1", "-r", "10.1.0.1", "-w", "65536"), 255, "65536 is no weight; use 0 to 65535"),
        (("-a", "-f", "1", "-r", "224.0.0.1"), 255, "'224.0.0.1' is not the address of one machine"),
        (("-a", "-f", "1", "-r", "10.1.0.1", "-y", "5"), 255, "lower threshold 5 is above the upper one, 0; "),
    ],
)
def test_what_lasthop_cannot_do_is_one_line_that_says_so(
    words: tuple[str, ...], status: int, answer: str, lb1: EditedOperations
) -> None:
    ipvsadm(lb1, "-A", "-f", "1")
    said = ipvsadm(lb1, *words)
    assert (said.status, said.out, said.err.count("\n")) == (status, "", 1)
    assert said.err.startswith("lasthop: ")
    assert answer in said.err


def test_a_service_and_a_server_have_everything_that_was_given(lb1: EditedOperations) -> None:
    ipvsadm(
        lb1, *["-A", "-u", "10.0.0.1:53", "-s", "mh", "-p", "100", "-M", "255.255.255.0", "-o", "-b", "flag-1,mh-port"]
    )
    ipvsadm(lb1, *["-a", "-u", "10.0.0.1:53", "-r", "10.1.0.1:5300", "-w", "3", "-x", "100", "-y", "50"])
    (service,) = lb1.configuration.services
    assert (service.label, service.scheduler, service.scheduler_flags) == (
        "UDP 10.0.0.1:53", "mh", ("mh-fallback", "mh-port"),
    )  # fmt: skip
    assert (service.persistence, service.one_packet) == (Persistence(100, 24), True)
    (server,) = service.real_servers
    assert (server.address, server.weight, server.upper_threshold, server.lower_threshold) == (
        IPv4Address("10.1.0.1"), 3, 100, 50,
    )  # fmt: skip


def test_ipv6_is_typed_as_ipvsadm_has_it(lb1: EditedOperations) -> None:
    ipvsadm(lb1, "-A", "-f", "8", "-6", "-p", "90", "-M", "64")
    assert ipvsadm(lb1, "-a", "-f", "8", "-6", "-r", "2001:db8:1::11", "-w", "2") == DONE
    assert ipvsadm(lb1, "-A", "-t", "[2001:db8::80]:80", "-s", "lc") == DONE
    assert ipvsadm(lb1, "-a", "-t", "[2001:db8::80]:80", "-r", "[2001:db8:1::11]:80") == DONE
    assert ipvsadm(lb1, "-a", "-t", "[2001:db8::80]:80", "-r", "10.1.0.1").status == 2, "ipvsadm wants one family"
    marked, addressed = lb1.configuration.services
    assert (marked.label, marked.family, marked.persistence) == ("FWM 8 IPv6", "ipv6", Persistence(90, 32, 64))
    assert [(each.name, str(each.address)) for each in marked.real_servers] == [("2001:db8:1::11", "2001:db8:1::11")]
    assert addressed.label == "TCP [2001:db8::80]:80"
    assert ipvsadm(lb1, "-Ln").out.splitlines()[3:] == [
        "TCP  [2001:db8::80]:80 lc",
        "  -> [2001:db8:1::11]:80          Route   1      0          0         ",
        "FWM  8 IPv6 wlc persistent 90 mask 64",
        "  -> [2001:db8:1::11]:0           Route   2      0          0         ",
    ]
    saved = ipvsadm(lb1, "-S", "-n").out
    assert "-A -f 8 -6 -s wlc -p 90 -M 64\n-a -f 8 -6 -r [2001:db8:1::11]:0 -g -w 2\n" in saved
    again = operations()
    assert ipvsadm(again, "-R", given=saved).status == 0
    assert ipvsadm(again, "-S", "-n").out == saved


def test_a_mark_has_a_service_for_each_family_as_in_lvs(lb1: EditedOperations) -> None:
    ipvsadm(lb1, "-A", "-f", "1", "-p", "60", "-M", "255.255.255.0")
    ipvsadm(lb1, "-A", "-f", "1", "-6", "-s", "rr")
    assert ipvsadm(lb1, "-A", "-f", "1", "-6") == Said(255, "", "Service already exists\n")
    assert [each.label for each in lb1.configuration.services] == ["FWM 1", "FWM 1 IPv6"]
    assert ipvsadm(lb1, "-E", "-f", "1", "-6", "-p").status == 0
    assert [each.persistence for each in lb1.configuration.services] == [Persistence(60, 24), Persistence(360)]
    assert ipvsadm(lb1, "-D", "-f", "1") == DONE
    assert [each.label for each in lb1.configuration.services] == ["FWM 1 IPv6"]


def test_an_edit_forgets_what_is_not_given_as_ipvsadm_does(lb1: EditedOperations) -> None:
    ipvsadm(lb1, *["-A", "-f", "1", "-s", "sh", "-p", "-b", "sh-port"])
    ipvsadm(lb1, *["-a", "-f", "1", "-r", "10.1.0.1", "-w", "3", "-x", "9"])
    assert ipvsadm(lb1, "-E", "-f", "1") == DONE
    assert ipvsadm(lb1, "-e", "-f", "1", "-r", "10.1.0.1") == DONE
    (service,) = lb1.configuration.services
    assert (service.scheduler, service.persistence, service.scheduler_flags) == ("wlc", None, ())
    assert [(each.weight, each.upper_threshold) for each in service.real_servers] == [(1, 0)]


def test_servers_services_and_all_of_them_can_be_deleted(lb1: EditedOperations) -> None:
    for words in ("-A -f 1", "-A -t 10.0.0.1:80", "-A -f 2", "-a -f 1 -r 10.1.0.1", "-a -t 10.0.0.1:80 -r 10.1.0.1"):
        ipvsadm(lb1, *words.split())
    assert ipvsadm(lb1, "-d", "-f", "1", "-r", "10.1.0.1:80") == DONE
    assert ipvsadm(lb1, "-d", "-r", "10.1.0.1", "-t", "10.0.0.1:80") == DONE
    assert [service.real_servers for service in lb1.configuration.services] == [(), (), ()]
    assert ipvsadm(lb1, "-D", "-f", "1") == DONE
    assert label(lb1) == "TCP 10.0.0.1:80"
    assert ipvsadm(lb1, "-C") == DONE
    assert lb1.configuration.services == ()


def test_timeouts_are_set_and_zero_keeps_one(lb1: EditedOperations) -> None:
    assert ipvsadm(lb1, "-Ln", "--timeout").out == "Timeout (tcp tcpfin udp): 432000 120 300\n"
    assert ipvsadm(lb1, "--set", "900", "0", "100") == DONE
    assert ipvsadm(lb1, "-Ln", "--timeout").out == "Timeout (tcp tcpfin udp): 900 120 100\n"
    assert lb1.configuration.director.timeouts.seconds[State.UDP] == 100


def test_a_refusal_that_ipvsadm_has_no_words_for_is_the_directors() -> None:
    for code in sorted(REFUSALS - {"service_exists", "no_such_scheduler"}):
        error = of_edit("add_service", EditError("it is\nwrong", "mend it", code))
        assert (error.text, error.status) == ("lasthop: it is wrong; mend it", 255)


@pytest.mark.parametrize(
    ("netmask", "prefix"), [("255.255.255.255", 32), ("255.255.255.0", 24), ("128.0.0.0", 1), (NO_BITS, 0)]
)
def test_a_netmask_is_a_number_of_leading_bits(netmask: str, prefix: int) -> None:
    assert prefix_of(netmask) == prefix


@pytest.mark.parametrize(
    ("error", "changing", "listing"),
    [
        (NotRunningError("can't reach a director: none runs here", "start one"), 2, 2),
        (DirectorError("can't reach director 'lb1': Permission denied", "run as root"), 255, 1),
    ],
)
def test_a_director_that_does_not_answer_is_one_line(
    error: DirectorError, changing: int, listing: int, lb1: EditedOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    for name in ("edit", "services", "servers", "status", "timeouts", "templates", "zero"):
        monkeypatch.setattr(lb1, name, refuse)
    for words in ("-A -f 1", "-C", "-Z", "--set 1 2 3"):
        assert ipvsadm(lb1, *words.split()) == Said(changing, "", f"lasthop: {error}\n")
    for words in ("", "-L", "-L -f 1", "-Lnc", "-L --timeout", "-S"):
        assert ipvsadm(lb1, *words.split()) == Said(listing, "", f"lasthop: {error}\n")
    assert ipvsadm(lb1, "-Z", "-f", "1").status == changing
    assert ipvsadm(lb1, "-h").status == 0
