"""The API's server: its paths, its document, and its socket."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import socket
import stat
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.api.client import Client
from lasthop.api.fake import ServedDirector
from lasthop.api.sample import sample
from lasthop.api.server import ROWS_AT_ONCE, application
from lasthop.api.serving import serve
from lasthop.errors import DataPlaneError, DirectorError
from lasthop.model.connection import ConnectionReport
from lasthop.model.connection_query import ConnectionPage
from lasthop.model.counter import CounterReport
from lasthop.model.drain import DrainReport
from lasthop.model.health import HealthReport
from lasthop.model.hop import HopReport
from lasthop.model.leg import LegReport
from lasthop.model.real_server import ServerReport
from lasthop.model.service import ServiceReport
from lasthop.model.status import StatusReport
from lasthop.model.template import TemplateReport
from lasthop.model.timeouts import TimeoutsReport

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

NOUNS = {
    "status": StatusReport,
    "legs": LegReport,
    "services": ServiceReport,
    "servers": ServerReport,
    "health": HealthReport,
    "connections": ConnectionReport,
    "templates": TemplateReport,
    "drains": DrainReport,
    "timeouts": TimeoutsReport,
    "hops": HopReport,
    "counters": CounterReport,
}
CONNECTION_FIELDS = [
    "zone", "protocol", "source", "source_port", "destination", "destination_port", "state", "assured", "service",
    "real_server", "forward_hop", "last_hop", "packets", "bytes", "age_s", "idle_s", "expires_s",
    "key", "bypassed",
]  # fmt: skip


def document(path: Path, target: str) -> tuple[int, bytes]:
    """Status and body of a GET, as any HTTP client gets them."""
    head, body = answer(path, target)
    return int(head.split()[1]), body


def answer(path: Path, target: str) -> tuple[bytes, bytes]:
    """Head and body of a GET."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        told = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = told.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("noun", NOUNS)
def test_a_noun_is_the_json_of_its_dataclasses(noun: str, tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    operations = sample()
    with ServedDirector(operations, path):
        status, body = document(path, f"/v1/{noun}")
    expected: Any = operations.connection_reports if noun == "connections" else getattr(operations, noun)()
    plain = (
        [dataclasses.asdict(each) for each in expected] if isinstance(expected, list) else dataclasses.asdict(expected)
    )
    assert status == 200
    assert json.loads(body) == json.loads(json.dumps(plain))
    assert body.endswith(b"\n")


def test_a_connection_has_the_fields_of_the_design_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    with ServedDirector(sample(), path):
        connection = json.loads(document(path, "/v1/connections")[1])[0]
    assert list(connection) == CONNECTION_FIELDS
    assert list(connection["last_hop"]) == ["leg", "mac", "vlan", "name"]
    assert list(connection["packets"]) == list(connection["bytes"]) == ["request", "response"]


def test_lists_are_one_document_with_one_report_a_line(tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    operations = sample()
    operations.connection_reports *= ROWS_AT_ONCE // 2
    with ServedDirector(operations, path):
        rows = document(path, "/v1/connections")[1].splitlines()
    assert (rows[0], rows[-1], len(rows)) == (b"[", b"]", len(operations.connection_reports) + 2)
    assert len(json.loads(b"".join(rows))) == len(operations.connection_reports)


@pytest.mark.parametrize(
    ("parameters", "total", "shown"),
    [("", 4, 4), ("?limit=0", 4, 4), ("?limit=3", 4, 3), ("?server=fw1&limit=1", 2, 1), ("?older_than=73", 0, 0)],
)
def test_the_head_of_a_part_tells_how_many_there_are(parameters: str, total: int, shown: int, tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    with ServedDirector(sample(), path):
        head, body = answer(path, f"/v1/connections{parameters}")
    assert f"lasthop-total: {total}\r\n".encode() in head.lower() + b"\r\n"
    assert len(json.loads(body)) == shown


@pytest.mark.parametrize(
    "parameters", ["limit=-1", "top=nothing", "older_than=-1", "older_than=nan", "older_than=1e30"]
)
def test_a_parameter_that_cannot_be_is_refused(parameters: str, tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    with ServedDirector(sample(), path):
        status, body = document(path, f"/v1/connections?{parameters}")
    assert status == 422
    assert parameters.partition("=")[0] in json.loads(body)["problem"]


def test_a_long_list_is_made_while_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is held, and the director's loop has its turn after each portion."""
    operations, made = sample(), count()
    report = operations.connection_reports[0]
    monkeypatch.setattr(operations, "connections", lambda _: ConnectionPage(10**9, (report for _ in made)))
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/v1/connections", "raw_path": b"/v1/connections", "query_string": b"", "headers": [],
    }  # fmt: skip

    async def run() -> list[str]:
        sent: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue(maxsize=1)

        async def never() -> MutableMapping[str, Any]:
            await asyncio.Event().wait()
            return {}

        task = asyncio.create_task(application(operations)(scope, never, sent.put))
        kinds = [str((await sent.get())["type"]) for _ in range(4)]
        task.cancel()
        await asyncio.wait([task])
        return kinds

    assert asyncio.run(run()) == ["http.response.start", *["http.response.body"] * 3]
    assert ROWS_AT_ONCE <= next(made) <= 6 * ROWS_AT_ONCE


def test_an_empty_list_is_json_too(tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    operations = sample()
    operations.hop_reports = []
    with ServedDirector(operations, path):
        assert document(path, "/v1/hops")[1] == b"[]\n"


def test_the_openapi_document_lists_every_path_with_its_dataclass() -> None:
    described = application(sample()).openapi()
    assert sorted(described["paths"]) == sorted(
        [
            *(f"/v1/{noun}" for noun in NOUNS),
            "/v1/connections/count",
            "/v1/events",
            "/v1/apply",
            "/v1/detach",
            "/v1/edit",
            "/v1/dump",
            "/v1/zero",
            "/v1/explain",
            "/v1/capture",
            "/metrics",
        ]
    )
    for noun, report in NOUNS.items():
        fields = [field.name for field in dataclasses.fields(report)]
        assert list(described["components"]["schemas"][report.__name__]["properties"]) == fields, noun
    assert list(described["paths"]["/v1/detach"]) == ["post"]
    assert "Problem" in described["components"]["schemas"]
    assert "HTTPValidationError" not in described["components"]["schemas"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (DirectorError("can't do it: no", "do something else"), 409),
        (DataPlaneError("can't do it: no", "do something else"), 500),
    ],
)
def test_an_error_is_answered_with_problem_and_remedy(failure: DirectorError, status: int, tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    operations = sample()
    operations.failure = failure
    with ServedDirector(operations, path):
        answered, body = document(path, "/v1/hops")
    assert (answered, json.loads(body)) == (status, {"problem": "can't do it: no", "remedy": "do something else"})


def test_a_fault_is_answered_without_a_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "lb1.sock"
    operations = sample()
    operations.failure = KeyError("x")
    with ServedDirector(operations, path):
        status, body = document(path, "/v1/hops")
    assert status == 500
    assert json.loads(body)["problem"] == "can't answer GET /v1/hops: KeyError: 'x'"
    assert "Traceback" not in body.decode()
    assert "KeyError" in caplog.text


@pytest.mark.parametrize(
    ("target", "status", "told"),
    [
        ("/v1/connections?limit=-1", 422, "limit"),
        ("/v1/connections?limit=many", 422, "limit"),
        ("/v1/connections?state=OPEN", 409, "SYN_RECV"),
        ("/v1/connections?client=198.51.100", 409, "198.51.100.0/24"),
        ("/v1/peers", 404, "/v1/peers"),
        ("/v1/detach", 405, "GET"),
    ],
)
def test_a_bad_request_is_answered_with_problem_and_remedy(target: str, status: int, told: str, tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    with ServedDirector(sample(), path):
        answered, body = document(path, target)
    answer = json.loads(body)
    assert answered == status
    assert sorted(answer) == ["problem", "remedy"]
    assert told in answer["problem"] or told.replace("198.51.100.0", "192.0.2.0") in answer["remedy"]


def test_garbage_on_the_socket_does_not_stop_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "lb1.sock"
    with ServedDirector(sample(), path):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(path))
            connection.sendall(b"\x00\xff garbage\r\n\r\n")
            assert b" 400 " in connection.recv(65536)
        assert document(path, "/v1/status")[0] == 200


def test_the_socket_may_be_opened_by_its_owner_and_group_only(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lb1.sock"
    with ServedDirector(sample(), path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert list(path.parent.iterdir()) == []


def test_the_socket_of_a_killed_director_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with ServedDirector(sample(), path):
        assert document(path, "/v1/status")[0] == 200


def test_a_second_director_of_the_same_name_is_refused_and_the_first_one_answers_on(tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    with ServedDirector(sample(), path):
        with pytest.raises(DirectorError, match="can't start director 'lb1': one of that name is running"):
            ServedDirector(sample(), path).__enter__()
        assert document(path, "/v1/status")[0] == 200


def test_a_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    path.write_text("precious")
    with pytest.raises(DirectorError, match="it is a file, not a socket"):
        ServedDirector(sample(), path).__enter__()
    assert path.read_text() == "precious"


def test_a_path_too_long_for_a_socket_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 100 + ".sock")
    with pytest.raises(DirectorError, match="shorter than 108 bytes"):
        ServedDirector(sample(), path).__enter__()


def test_stopping_leaves_the_socket_of_a_successor_alone(tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    with ServedDirector(sample(), path):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.is_socket()


def test_the_server_runs_in_the_callers_loop_and_touches_no_signal(tmp_path: Path) -> None:
    path = tmp_path / "lb1.sock"
    watched = (signal.SIGINT, signal.SIGTERM)

    async def run() -> None:
        before = [signal.getsignal(number) for number in watched]
        async with serve(sample(), path):
            assert [signal.getsignal(number) for number in watched] == before
            assert (await asyncio.to_thread(Client("lb1", tmp_path).status))["director"] == "lb1"
        assert not path.exists()

    asyncio.run(run())


def test_stopping_twice_or_before_the_start_does_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        server = serve(sample(), tmp_path / "lb1.sock")
        await server.stop()
        await server.start()
        await server.stop()
        await server.stop()

    asyncio.run(run())
