"""The API's client: which director it asks, what it returns, and how it says that something is wrong."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lasthop.api.client import Client
from lasthop.api.fake import ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import sample
from lasthop.errors import DataPlaneError, DirectorError, NotRunningError
from lasthop.model.connection import EachWay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory of sockets in which director lb1 runs."""
    with ServedDirector(sample(), socket_path("lb1", tmp_path)):
        yield tmp_path


def leave_stale_socket(directory: Path, name: str) -> None:
    """What a killed director leaves behind."""
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(socket_path(name, directory)))


def sources(**filters: str | float | None) -> dict[str, str | float | None]:
    return filters


def test_the_only_director_needs_no_name(directory: Path) -> None:
    assert Client(directory=directory).status()["director"] == "lb1"


def test_stale_sockets_do_not_count(directory: Path) -> None:
    leave_stale_socket(directory, "dead")
    assert Client(directory=directory).director() == "lb1"


def test_a_director_with_many_at_its_door_is_waited_for(tmp_path: Path) -> None:
    path = socket_path("busy", tmp_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(path))
        listening.listen(0)
        before = stack.enter_context(socket.socket(socket.AF_UNIX))
        before.connect(str(path))
        told: list[object] = []
        asking = threading.Thread(target=lambda: told.append(Client("busy", tmp_path).document("status")))
        asking.start()
        asking.join(0.3)
        assert asking.is_alive(), "it waits"
        stack.enter_context(listening.accept()[0])
        late = stack.enter_context(listening.accept()[0])
        late.recv(65_536)
        late.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        asking.join(20)
    assert told == [{}]


def test_several_directors_are_listed_and_one_must_be_named(directory: Path) -> None:
    with ExitStack() as stack:
        for name in ("lb3", "lb2"):
            stack.enter_context(ServedDirector(sample(name), socket_path(name, directory)))
        with pytest.raises(DirectorError, match=r"3 run here \(lb1, lb2, lb3\); name one: --director NAME") as raised:
            Client(directory=directory).status()
        assert not isinstance(raised.value, NotRunningError)
        assert Client("lb2", directory).status()["director"] == "lb2"


@pytest.mark.parametrize("name", ["", "absent"])
def test_no_director_at_all_means_to_start_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotRunningError) as raised:
        Client(directory=tmp_path / name).status()
    assert raised.value.remedy == "start one with: lasthop run FILE"


def test_a_director_that_does_not_run_is_told_from_those_that_do(directory: Path) -> None:
    leave_stale_socket(directory, "lb2")
    for absent in ("lb2", "lb9"):
        with pytest.raises(NotRunningError, match=f"can't reach director '{absent}'.*running here: lb1"):
            Client(absent, directory).status()


@pytest.mark.parametrize("name", ["../lb1", "a/b", "", ".hidden"])
def test_a_name_cannot_lead_out_of_the_directory(name: str, tmp_path: Path) -> None:
    with pytest.raises(DirectorError, match="can't use"):
        Client(name, tmp_path).status()


def test_the_nouns_are_plain_json(directory: Path) -> None:
    client = Client(directory=directory)
    assert [leg["name"] for leg in client.legs()] == ["outside", "firewalls"]
    assert [service["service"] for service in client.services()] == ["FWM 1", "FWM 2"]
    assert [server["name"] for server in client.servers()] == ["fw1", "fw2", "fw3", "fw4", "router"]
    assert [hop["id"] for hop in client.hops()] == [1, 2, 3]
    assert [counter["value"] for counter in client.counters()] == [1234567, 0, 3, 0]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (sources(), {"198.51.100.20", "198.51.100.9", "198.51.100.10", "192.0.2.200"}),
        (sources(service="1"), {"198.51.100.20", "198.51.100.9", "198.51.100.10", "192.0.2.200"}),
        (sources(service="FWM 2"), set()),
        (sources(server="fw1"), {"198.51.100.9", "192.0.2.200"}),
        (sources(state="established"), {"198.51.100.9", "198.51.100.10"}),
        (sources(client="198.51.100.8/30"), {"198.51.100.9", "198.51.100.10"}),
        (sources(client="198.51.100.9"), {"198.51.100.9"}),
        (sources(client="2001:db8::/32"), set()),
        (sources(server="fw1", state="TIME_WAIT"), {"192.0.2.200"}),
        (sources(older_than=72), {"198.51.100.20", "198.51.100.9", "198.51.100.10", "192.0.2.200"}),
        (sources(older_than=72.75), set()),
    ],
)
def test_connections_are_selected_by_the_director(
    filters: dict[str, str | float | None], expected: set[str], directory: Path
) -> None:
    client = Client(directory=directory)
    assert {connection["source"] for connection in client.connections(**filters)} == expected
    assert client.count_connections(**filters) == len(expected)


def test_a_limit_caps_the_connections_returned(directory: Path) -> None:
    assert len(Client(directory=directory).connections(limit=3)) == 3


def test_a_part_says_of_how_many_it_is(directory: Path) -> None:
    client = Client(directory=directory)
    total, reports = client.some_connections(server="fw1", limit=1)
    assert (total, len(reports)) == (2, 1)
    assert client.copy("connections", io.BytesIO(), {"limit": 1}) == 4
    assert client.copy("hops", io.BytesIO()) is None


def test_the_most_come_first(tmp_path: Path) -> None:
    operations = sample()
    operations.connection_reports = [
        replace(report, packets=EachWay(number, 2), bytes=EachWay(5, 9 - number), age_s=float(number % 3))
        for number, report in enumerate(operations.connection_reports)
    ]
    sources = [report.source for report in operations.connection_reports]
    with ServedDirector(operations, socket_path("lb1", tmp_path)):
        client = Client(directory=tmp_path)
        first = {top: client.connections(top=top, limit=1)[0]["source"] for top in ("packets", "bytes", "age")}
    assert first == {"packets": sources[3], "bytes": sources[0], "age": sources[2]}


def test_a_misspelt_name_is_no_empty_list(directory: Path) -> None:
    client = Client(directory=directory)
    with pytest.raises(DirectorError, match=r"service 'FWM 7'.*known: FWM 1, FWM 2"):
        client.connections(service="7")
    with pytest.raises(DirectorError, match=r"real server 'fw9'.*known: fw1, fw2, fw3, fw4, router"):
        client.count_connections(server="fw9")


def test_copying_writes_the_directors_own_document(directory: Path) -> None:
    output = io.BytesIO()
    Client(directory=directory).copy("connections", output, {"limit": 2, "state": None})
    assert len(json.loads(output.getvalue())) == 2


def test_detach_reaches_the_director(tmp_path: Path) -> None:
    operations = sample()
    with ServedDirector(operations, socket_path("lb1", tmp_path)):
        Client(directory=tmp_path).detach()
    assert operations.detached


def test_a_refusal_arrives_with_problem_and_remedy(tmp_path: Path) -> None:
    operations = sample()
    operations.failure = DataPlaneError("can't detach: busy", "wait")
    with ServedDirector(operations, socket_path("lb1", tmp_path)), pytest.raises(DirectorError) as raised:
        Client(directory=tmp_path).detach()
    assert (raised.value.problem, raised.value.remedy) == ("can't detach: busy", "wait")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "can't get an answer"),
        (b"nonsense\r\n", "can't get an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "can't get an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnot JSON", "can't understand"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nnope", "can't understand"),
    ],
)
def test_an_answer_cut_short_or_not_a_directors_is_an_error(answer: bytes, told: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.settimeout(10)
        listening.bind(str(socket_path("odd", tmp_path)))
        listening.listen()

        def answer_once() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=answer_once)
        thread.start()
        with pytest.raises(DirectorError, match=f"{told}.*director 'odd'"):
            Client("odd", tmp_path).status()
        thread.join(10)


def test_a_reader_of_ours_that_leaves_is_not_blamed_on_the_director(directory: Path) -> None:
    class Left(io.BytesIO):
        def write(self, _data: object) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Client(directory=directory).copy("hops", Left())


def test_the_client_imports_nothing_heavy() -> None:
    heavy = ("fastapi", "pydantic", "uvicorn", "numpy", "pyroute2", "rich", "lasthop.api.server", "lasthop.model")
    code = f"import sys, lasthop.api.client; print([name for name in {heavy!r} if name in sys.modules])"
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
