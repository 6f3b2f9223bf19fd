"""ipvsadm -S and -R: what is saved is restored, a bad file changes nothing, and a big one takes no time."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasthop.cli.ipvsadm.refusal import IpvsadmError
from lasthop.cli.ipvsadm.restore import Restored, _edit, _server_edit
from lasthop.director.edits import edited
from lasthop.model.edit import ServerEdit, ServiceEdit, SetTimeouts
from tests.unit.ipvsadm_director import EMPTY, EditedOperations, Said, ipvsadm, operations
from tests.unit.ipvsadm_golden import GOLDEN

if TYPE_CHECKING:
    from lasthop.model.edit import Edit

DONE = Said(0, "", "")
FLAGS = {"sh": ("sh-fallback", "sh-port"), "mh": ("mh-fallback", "mh-port")}
RULES = """\
-A -t 203.0.113.90:80 -s rr
-a -t 203.0.113.90:80 -r 10.1.0.11:80 -g -w 1
-a -t 203.0.113.90:80 -r 10.1.0.12:80 -g -w 0
-A -t 203.0.113.90:443 -s sh -p 600 -M 255.255.255.0 -b sh-fallback,sh-port
-a -t 203.0.113.90:443 -r 10.1.0.11:443 -g -w 3 -x 100 -y 50
-A -u 203.0.113.90:53 -s mh -o -b mh-fallback,mh-port
-A --sctp-service 203.0.113.90:9 -s wlc
"""

ports = st.integers(1, 65535)
addresses = st.integers(0x01000000, 0x7E000000).map(lambda number: str(IPv4Address(number)))
labels = st.one_of(
    st.integers(1, 2**32 - 1).map("FWM {}".format),
    st.builds("{} {}:{}".format, st.sampled_from(["TCP", "UDP", "SCTP"]), addresses, ports),
)


@st.composite
def service_edits(draw: st.DrawFn) -> list[Edit]:
    """A service and its real servers."""
    label, scheduler = draw(labels), draw(st.sampled_from(["rr", "wlc", "sh", "mh", "twos"]))
    flags = draw(st.sets(st.sampled_from(FLAGS.get(scheduler, ("",)))))
    service = ServiceEdit(
        "add_service", label, scheduler, tuple(flag for flag in sorted(flags) if flag),
        draw(st.one_of(st.none(), st.integers(1, 31 * 86_400))),
        draw(st.integers(1, 32)),
        one_packet=not label.startswith(("TCP", "SCTP")) and draw(st.booleans()),
    )  # fmt: skip
    servers: list[Edit] = []
    for address in draw(st.lists(addresses, unique=True, max_size=4)):
        upper = draw(st.integers(0, 65535))
        lower = draw(st.integers(0, upper))
        weight = draw(st.integers(0, 65535))
        servers.append(ServerEdit("add_server", label, address, "", weight, upper, lower))
    return [service, *servers]


configurations = st.builds(
    lambda timeouts, services: [
        SetTimeouts("set_timeouts", *timeouts),
        *{each[0].service: each for each in services}.values(),
    ],
    st.tuples(*[st.integers(0, 31 * 86_400)] * 3),
    st.lists(service_edits(), max_size=5),
)


@pytest.fixture
def lb1() -> EditedOperations:
    return operations()


@given(configurations)
def test_whatever_there_is_comes_back_from_what_was_saved(parts: list[Edit | list[Edit]]) -> None:
    saved, restored = operations(), operations()
    edits = [edit for part in parts for edit in (part if isinstance(part, list) else [part])]
    saved.configuration = edited(EMPTY, edits)
    text = ipvsadm(saved, "-S", "-n").out
    assert ipvsadm(restored, "-R", given=text).status == 0
    assert ipvsadm(restored, "-S", "-n").out == text
    ordered = [
        {
            service.label: (
                service.scheduler, set(service.scheduler_flags), service.persistence, service.one_packet,
                {(each.name, each.address, each.weight, each.upper_threshold, each.lower_threshold)
                 for each in service.real_servers},
            )
            for service in each.configuration.services
        }
        for each in (saved, restored)
    ]  # fmt: skip
    assert ordered[0] == ordered[1]
    assert saved.configuration.director == restored.configuration.director


def test_what_a_real_ipvsadm_takes_is_restored_and_saved_the_same(lb1: EditedOperations) -> None:
    assert ipvsadm(lb1, "-R", given=RULES) == DONE
    assert ipvsadm(lb1, "-S", "-n") == Said(0, RULES, "")
    assert ipvsadm(lb1, "-S", "-n").out == ipvsadm(lb1, "--save", "--numeric").out


def test_what_a_real_ipvsadm_saved_is_refused_where_lasthop_cannot_do_it(lb1: EditedOperations) -> None:
    rules = (GOLDEN / "save.rules").read_text()
    said = ipvsadm(lb1, "-R", given=rules)
    assert said == Said(
        2, "",
        "line 5: -a -t 203.0.113.90:443 -r 10.1.0.11:8443 -m -w 3: "
        "lasthop: there is only direct routing, so -m is not to be had; use -g\n",
    )  # fmt: skip
    possible = [line for line in rules.splitlines() if not {"-m", "-i"} & set(line.split())]
    said = ipvsadm(lb1, "-R", given="\n".join(possible))
    assert (said.status, said.err.split(";")[0]) == (
        0, "lasthop: service FWM 8 IPv6 gets no packets: no mark rule gives mark 8",
    )  # fmt: skip
    assert ipvsadm(lb1, "-S", "-n").out.splitlines() == possible


def test_lines_are_read_as_a_real_restore_reads_them(lb1: EditedOperations) -> None:
    added = "\n  -A   -f\t1 -s rr \r\nipvsadm -A -f 2 -s rr\n# a comment\n#\n \t\n"
    text = f"{added}--set 0 0 77\n-E -f 2 -s ipvsadm sh\n-D -f 1"
    assert ipvsadm(lb1, "-R", given=text).status == 0
    assert [(each.label, each.scheduler) for each in lb1.configuration.services] == [("FWM 2", "sh")]
    assert "77" in ipvsadm(lb1, "-L", "--timeout").out


@pytest.mark.parametrize(
    ("line", "status", "answer"),
    [
        ("-A -f 0", 2, "invalid fwmark value `0' specified"),
        ("-A -f 1", 255, "Service already exists"),
        ("-a -f 9 -r 10.1.0.1", 255, "Service not defined"),
        ("-a -f 1 -r 10.1.0.11", 255, "Destination already exists"),
        ("-A -f 2 foo", 2, "unexpected argument foo"),
        ("nonsense", 255, "Try `ipvsadm -h' or 'ipvsadm --help' for more information."),
        ("-A -t \0:80", 2, "illegal virtual server address[:port] specified"),
        ("-A -t 1.2.3.4:\0", 2, "illegal virtual server address[:port] specified"),
        ("-R", 255, "Try `ipvsadm -h' or 'ipvsadm --help' for more information."),
        ("-L -n", 2, "lasthop: 'list' changes nothing that can be restored; leave the line out"),
        ("-A -f 2 -s nosuch", 255, "Scheduler or persistence engine not found"),
        ("-a -f 1 -r 10.1.0.1 -g -w 70000", 255, "lasthop: 70000 is no weight; use 0 to 65535"),
    ],
)
def test_a_bad_file_changes_nothing_and_names_the_line(
    line: str, status: int, answer: str, lb1: EditedOperations
) -> None:
    text = f"-A -f 1\n\n-a -f 1 -r 10.1.0.11\n  {line}\n-A -f 3\n"
    assert ipvsadm(lb1, "-R", given=text) == Said(status, "", f"line 4: {line}: {answer}\n")
    assert lb1.configuration is EMPTY


def test_nothing_to_restore_asks_nothing_of_a_director(lb1: EditedOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(type(lb1), "edit")
    assert ipvsadm(lb1, "-R", given="\n# nothing\n") == DONE


def test_restore_clears_nothing_but_the_script_of_that_name_does(lb1: EditedOperations) -> None:
    ipvsadm(lb1, "-A", "-f", "7")
    rules = "-A -t 10.0.0.1:80 -s rr\n"
    assert ipvsadm(lb1, "-R", given=rules) == DONE
    assert len(lb1.configuration.services) == 2
    assert ipvsadm(lb1, given=rules, name="ipvsadm-restore") == DONE
    assert ipvsadm(lb1, "-n", name="ipvsadm-save") == Said(0, rules, "")


def test_a_bad_file_is_no_reason_to_clear_anything(lb1: EditedOperations) -> None:
    ipvsadm(lb1, "-A", "-t", "10.0.0.1:80")
    before = lb1.configuration
    for bad, line in (("-A -f 0\n", 1), ("-A -t 10.0.0.1:80\n-A -t 10.0.0.1:80\n", 2)):
        said = ipvsadm(lb1, given=bad, name="ipvsadm-restore")
        assert said.err.startswith(f"line {line}: ")
        assert lb1.configuration is before


def test_the_script_that_saves_knows_one_option(lb1: EditedOperations) -> None:
    said = ipvsadm(lb1, "-x", name="ipvsadm-save")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("ipvsadm-save: ")
    assert ipvsadm(lb1, "ignored", name="ipvsadm-save") == DONE


def test_warnings_are_a_line_each_and_no_failure(lb1: EditedOperations) -> None:
    said = ipvsadm(lb1, "-R", given="-A -f 1\n-A -f 2\n")
    assert (said.status, said.out) == (0, "")
    assert [line.split(";")[0] for line in said.err.splitlines()] == [
        f"lasthop: service FWM {mark} gets no packets: no mark rule gives mark {mark}" for mark in (1, 2)
    ]


words = st.sampled_from(
    ["-a", "-t", "-u", "-f", "-r", "-g", "-m", "-w", "-n", "1", "01", "+1", "70000", "9999999999", "10.0.0.1:80",
     "10.1", "[::1]:80", "10.0.0.1:http", "", "--", "-t10.0.0.1:80", "--sort"]
)  # fmt: skip
plain = ["-a", "-t", "10.0.0.1:80", "-r", "10.1.0.1:80", "-g", "-w", "1"]


@given(st.dictionaries(st.integers(0, 7), words, max_size=3))
def test_the_short_way_of_reading_a_line_is_the_long_way(changes: dict[int, str]) -> None:
    line = [changes.get(place, word) for place, word in enumerate(plain)]
    quick = _server_edit(line)
    if quick is not None:
        assert quick == _edit(line)


def test_the_lines_that_a_save_writes_are_read_the_short_way() -> None:
    assert _server_edit(plain) == {"kind": "add_server", "service": "TCP 10.0.0.1:80", "address": "10.1.0.1"}
    assert _server_edit(["-a", "-t", "[2001:db8::80]:80", "-r", "[2001:db8::11]:80", "-g", "-w", "1"]) == {
        "kind": "add_server", "service": "TCP [2001:db8::80]:80", "address": "2001:db8::11",
    }  # fmt: skip
    assert _server_edit([*plain[:1], "-f", "7", *plain[3:7], "5"]) == {
        "kind": "add_server", "service": "FWM 7", "address": "10.1.0.1", "weight": 5,
    }  # fmt: skip


def test_a_thousand_services_of_64_real_servers_are_read_whole() -> None:
    lines = []
    for service in range(1000):
        address = f"10.{service // 250}.{service % 250}.1:80"
        lines.append(f"-A -t {address} -s wlc -p 360")
        lines += [f"-a -t {address} -r 172.{16 + service % 16}.{service // 16}.{each}:80 -g -w 1" for each in range(64)]
    assert len(Restored(lines).edits) == 65_000


def test_a_line_keeps_its_number_through_all_that_is_skipped() -> None:
    with pytest.raises(IpvsadmError, match="line 5: -C -n: Illegal 'numeric' option with the 'flush' command"):
        Restored(["\n", "# x\n", "-C\n", "\n", "-C -n\n"])
