"""ipvsadm as a program: lists of a director on a real socket beside those of LVS, and how the program is called."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from lasthop.__main__ import program
from lasthop.api.fake import FakeOperations, ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import sample
from lasthop.cli.ipvsadm.rows import dotted
from lasthop.errors import DirectorError
from lasthop.model.connection import ConnectionReport, EachWay, HopName
from lasthop.model.hop import HopReport
from lasthop.model.real_server import ServerReport
from lasthop.model.service import ServiceReport
from lasthop.model.statistics import RateEachWay, Rates, Statistics
from lasthop.model.template import TemplateReport
from tests.unit.ipvsadm_golden import GOLDEN, Block, blocks, first, services, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    from lasthop.cli.ipvsadm.formats import ServerRow, ServiceRow

ROUTER = HopName("outside", "02:00:00:00:00:01", None, "router")
#: Lists of one moment each: the file, and its blocks.
MOMENTS = {
    "2012": blocks("cli-02-2012-no-reverse.txt"),
    "2012, both ways": blocks("cli-03-2012-with-reverse.txt"),
    "live": blocks("cli-05-live.txt")[:6],
    "thresholds": blocks("cli-05-live.txt")[17:20],
    "persistence": blocks("cli-05-live.txt")[23:26],
}
LISTS = [
    (moment, block)
    for moment, found in MOMENTS.items()
    for block in found
    if block.words[0] in {"-Ln", "-L", "-S", "-Lnc"} and "--sort" not in block.words
]


def given(moment: str) -> FakeOperations:
    """A director that has what the lists of a moment show."""
    found = MOMENTS[moment]
    operations = sample()
    status = asdict(operations.status_report) | {"connections_max": 4096}
    operations.status_report = type(operations.status_report)(**status)
    if not any(block.words == ("-Ln",) for block in found):
        found = [Block(("-Ln",), plain_of(found), 0), *found]
    rows = services(found)
    operations.service_reports = [service_report(row) for row in rows][::-1]
    operations.server_reports = [server_report(row, server) for row in rows for server in row.servers][::-1]
    operations.hop_reports = [
        HopReport(number, hop.leg, hop.mac, hop.vlan, f"10.{network}.0.{number}", "", 1, 0)
        for network in (1, 9)
        for number in (11, 12)
        for hop in [hop_to(f"10.{network}.0.{number}")]
    ]
    entries = [line for block in found if block.words == ("-Lnc",) for line in block.text.splitlines()[2:]]
    operations.template_reports = [template(line) for line in entries if is_template(line)]
    operations.connection_reports = [connection(line) for line in entries if not is_template(line)]
    return operations


def hop_to(address: str) -> HopName:
    network, number = address.split(".")[1::2]
    return HopName("firewalls", f"02:00:00:00:0{network}:{number}", None, "")


def plain_of(found: list[Block]) -> str:
    """What -Ln would show beside --persistent-conn."""
    text = first(found, "-Ln", "--persistent-conn").text
    lines = []
    for line in text.splitlines():
        if line.startswith("  -> 1"):
            arrow, name, weight, _, active, inactive = line.split()
            line = f"  {arrow} {name} Route {weight} {active} {inactive}"  # noqa: PLW2901 - the same line in other columns
        lines.append(line)
    return "\n".join(lines)


def label(row: ServiceRow) -> str:
    return f"FWM {row.mark}" if row.mark else f"{row.protocol.upper()} {row.address}:{row.port}"


def statistics(numbers: tuple[int, ...]) -> Statistics:
    return Statistics(numbers[0], EachWay(*numbers[1:3]), EachWay(*numbers[3:]))


def rates(numbers: tuple[int, ...]) -> Rates:
    return Rates(numbers[0], RateEachWay(*numbers[1:3]), RateEachWay(*numbers[3:]))


def service_report(row: ServiceRow) -> ServiceReport:
    return ServiceReport(
        label(row), row.scheduler, row.persistence_s, "drop", len(row.servers), len(row.servers), 0, 0, 0,
        scheduler_flags=row.flags,
        persistence_prefix=next(prefix for prefix in range(32, 0, -1) if (row.mask or dotted(32)) == dotted(prefix)),
        one_packet=row.one_packet,
        statistics=statistics(row.statistics),
        rates=rates(row.rates),
    )  # fmt: skip


def server_report(row: ServiceRow, server: ServerRow) -> ServerReport:
    return ServerReport(
        f"fw-{server.address}", label(row), server.address, server.weight, server.weight, "up", server.active,
        server.inactive, server.persistent, "firewalls", "",
        upper_threshold=server.upper,
        lower_threshold=server.lower,
        statistics=statistics(server.statistics),
        rates=rates(server.rates),
    )  # fmt: skip


def is_template(line: str) -> bool:
    return line.startswith("IP ") or split(line.split()[3])[1] == 0


def expires(text: str) -> float:
    minutes, seconds = text.split(":")
    return int(minutes) * 60 + int(seconds) + 0.75


def template(line: str) -> TemplateReport:
    protocol, expire, state, source, virtual, destination = line.split()
    service = f"FWM {virtual.split(':')[0].rpartition('.')[2]}" if protocol == "IP" else f"{protocol} {virtual}"
    server = f"fw-{split(destination)[0]}"
    return TemplateReport(service, split(source)[0], 32, server, 1, state == "ASSURED", expires(expire))


def connection(line: str) -> ConnectionReport:
    protocol, expire, state, source, virtual, destination = line.split()
    return ConnectionReport(
        "edge", protocol.lower(), *split(source), *split(virtual), state, assured=True, service="FWM 1",
        real_server=f"fw-{split(destination)[0]}", forward_hop=hop_to(split(destination)[0]), last_hop=ROUTER,
        packets=EachWay(1, 1), bytes=EachWay(1, 1), age_s=1, idle_s=1, expires_s=expires(expire),
    )  # fmt: skip


def run(directory: Path, operations: FakeOperations, *words: str) -> Result:
    """Run `lasthop ipvsadm WORDS` beside a director of these operations."""
    with ServedDirector(operations, socket_path("lb1", directory)):
        return invoke(directory, "ipvsadm", *words)


def invoke(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(program, words, obj=directory, prog_name="lasthop")


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of the sockets of directors lb0, lb1 ..., one for each of `MOMENTS`."""
    directory = tmp_path_factory.mktemp("moments")
    with ExitStack() as running:
        for number, moment in enumerate(MOMENTS):
            running.enter_context(ServedDirector(given(moment), socket_path(f"lb{number}", directory)))
        yield directory


@pytest.mark.parametrize(("moment", "block"), LISTS, ids=[f"{moment}: {' '.join(b.words)}" for moment, b in LISTS])
def test_a_director_is_listed_as_lvs_in_the_same_place(moment: str, block: Block, moments: Path) -> None:
    result = invoke(moments, "--director", f"lb{list(MOMENTS).index(moment)}", "ipvsadm", *block.words)
    assert (result.exit_code, result.stderr) == (block.status, "")
    if block.words == ("-Lnc",):  # a table has no order
        assert result.stdout.splitlines()[:2] == block.text.splitlines()[:2]
        assert sorted(result.stdout.splitlines()) == sorted(block.text.splitlines())
    else:
        assert result.stdout == block.text


def test_the_moments_have_lists_of_every_kind() -> None:
    asked = {word for _, block in LISTS for word in block.words}
    assert {"-Ln", "-Lnc", "-S", "--stats", "--rate", "--exact", "--thresholds", "--persistent-conn", "--timeout",
            "--daemon", "-f"} <= asked  # fmt: skip


def test_no_words_at_all_list_everything_with_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostbyaddr", lambda address: (f"host-{address[-2:]}", [], [address]))
    result = run(tmp_path, given("live"))
    assert result.stdout.splitlines()[3:] == [
        "TCP  host-00:http rr",
        "  -> host-11:http                 Route   1      4          0         ",
        "  -> host-12:http                 Route   1      4          0         ",
    ]
    assert run(tmp_path, given("live"), "-L").stdout == result.stdout


def test_connections_of_any_kind_have_a_line(tmp_path: Path) -> None:
    operations = sample()
    made = operations.connection_reports[0]
    unknown = HopName("outside", "02:00:00:00:00:99", None, "")
    operations.connection_reports = [
        replace(made, protocol="icmp", state="ICMP", source_port=7, destination_port=7, real_server="fw1"),
        replace(made, protocol="udp", state="UDP", real_server="10.0.1.99", expires_s=432_000.9),
        replace(made, service="", real_server="", forward_hop=HopName("x", "02:00:00:00:00:88", None, "fw2")),
        replace(made, real_server="gone", forward_hop=unknown, expires_s=-1),
    ]
    operations.template_reports = [
        TemplateReport("FWM 4294967295", "198.51.100.0", 24, "fw1", 0, assured=False, expires_s=6000),
        TemplateReport("UDP 203.0.113.80:0", "198.51.100.1", 32, "gone", 1, assured=True, expires_s=59.9),
    ]
    assert run(tmp_path, operations, "-L", "-n", "-c", "--persistent-conn").stdout.splitlines() == [
        "IPVS connection entries",
        "pro expire state       source             virtual            destination        pe name          pe_data",
        "ICMP 14:57  ICMP        198.51.100.20:7    203.0.113.80:7     10.0.1.11:7",
        "UDP 7200:00 UDP         198.51.100.20:40000 203.0.113.80:80    10.0.1.99:80",
        "TCP 14:57  SYN_RECV    198.51.100.20:40000 203.0.113.80:80    10.0.1.12:80",
        "TCP 00:00  SYN_RECV    198.51.100.20:40000 203.0.113.80:80    203.0.113.80:80",
        "IP  100:00 NONE        198.51.100.0:0     255.255.255.255:0  10.0.1.11:0",
        "UDP 00:59  ASSURED     198.51.100.1:0     203.0.113.80:0     gone:0",
    ]


def test_thousands_of_connections_come_whole(tmp_path: Path) -> None:
    operations = sample()
    operations.connection_reports *= 2000
    operations.template_reports = []
    lines = run(tmp_path, operations, "-Lnc").stdout.splitlines()
    assert len(lines) == 2 + 8000
    assert set(lines[2:6]) == set(lines[2:])


@pytest.mark.parametrize(
    "words", [("--help",), ("-h",), ("--", "-L"), ("-L", "--bogus"), ("-Ln", "--json"), ("-A", "-f", "1", "-p", "--")]
)
def test_lasthop_hands_every_word_on_as_it_is(words: tuple[str, ...], tmp_path: Path) -> None:
    result = run(tmp_path, sample(), *words)
    if words[0] in {"--help", "-h"}:
        assert result.stdout == (GOLDEN / "help.txt").read_text()
    elif words[0] == "-A":
        assert result.exit_code == 0
    else:
        assert result.exit_code == 255
        assert "ipvsadm" in result.stderr or "unknown option" in result.stderr


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run the program of a name in a process of its own, beside director lb1."""

    def start(name: str, *words: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        code = (
            f"import pathlib, sys; sys.argv[0] = {name!r}; from lasthop.start import main\n"
            f"try: main(pathlib.Path({str(tmp_path)!r}))\n"
            "finally: print(sorted({'click', 'rich', 'pydantic'} & set(sys.modules)), file=sys.stderr)"
        )
        variables = {key: value for key, value in os.environ.items() if key != "LASTHOP_DIRECTOR"}
        variables |= {"PYTHONPATH": os.pathsep.join(sys.path), **environment}
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            input=text, env=variables, capture_output=True, text=True, errors="surrogateescape", check=False,
            timeout=60,
        )  # fmt: skip

    with ServedDirector(given("live"), socket_path("lb1", tmp_path)):
        yield start


def test_called_ipvsadm_it_is_ipvsadm_and_needs_the_standard_library_alone(
    process: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = process("/usr/local/sbin/ipvsadm", "-Ln")
    assert (done.returncode, done.stdout, done.stderr) == (0, MOMENTS["live"][0].text, "[]\n")
    done = process("ipvsadm", "--foo")
    assert (done.returncode, done.stderr.splitlines()[0]) == (255, first(blocks("cli-07-usage.txt"), "--foo").text[:-1])


def test_called_as_the_scripts_it_saves_and_restores(
    process: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = process("ipvsadm-save", "-n")
    assert done.stdout.startswith("-A -t 10.9.0.100:80 -s rr\n-a -t 10.9.0.100:80 -r 10.9.0.11:80 -g -w 1\n")
    assert process("ipvsadm-restore", text=done.stdout).returncode == 0
    assert process("ipvsadm-restore", text="-A -f 0").returncode == 2


def test_what_is_no_text_is_not_restored(process: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = process("ipvsadm", "-R", text="\udcff", PYTHONIOENCODING="utf-8:strict")
    assert (done.returncode, done.stderr) == (2, "lasthop: can't restore from standard input: it is no text\n[]\n")


def test_called_anything_else_it_is_lasthop(process: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for name in ("lasthop", "ipvsadm-else"):
        assert process(name, "--version").stdout.startswith("lasthop ")
    assert process("lasthop", "ipvsadm", "-Ln").stdout == MOMENTS["live"][0].text


def test_the_environment_chooses_the_director(process: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = process("ipvsadm", "-Ln", LASTHOP_DIRECTOR="lb9")
    assert done.returncode == 2
    assert done.stderr.startswith("lasthop: can't reach director 'lb9': it does not run; running here: lb1\n")


def test_a_fault_of_ours_is_one_line_and_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operations = given("live")
    operations.failure = DirectorError("can't do it", "wait")
    result = run(tmp_path, operations, "-Ln")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "lasthop: can't do it; wait\n")
    monkeypatch.setattr("lasthop.cli.ipvsadm.command.run", lambda *_: 1 / 0)
    result = run(tmp_path, operations, "-Ln")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("lasthop: fault in lasthop: ZeroDivisionError")
