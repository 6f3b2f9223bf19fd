"""The API's events: a list, or lines that go on until the director ends; and that the document says what there is."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import socket
from contextlib import closing
from typing import TYPE_CHECKING, get_type_hints

import pytest

from lasthop.api.client import Client
from lasthop.api.fake import FakeOperations, ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import EVENTS_FROM, sample
from lasthop.api.server import application
from lasthop.errors import DirectorError
from lasthop.lab.waiting import wait_until
from lasthop.model.event import Details, Event, EventQuery, Kind
from tests.architecture.tree import ROOT, files, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIND_ROW = re.compile(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \| \S", re.MULTILINE)
FIELD_ROW = re.compile(r"^\| `(\w+)` \| [^|\n]+ \|$", re.MULTILINE)
COMMON = ["seq", "time", "kind", "level", "message", "by"]
UP = Event(EVENTS_FROM + 9, "2026-11-26T23:49:00.000Z", Kind.SERVER_UP, "info", "real server fw2 is up")
#: Made by the ring alone.
UNLOGGED = {Kind.MISSED}


@pytest.fixture
def operations() -> FakeOperations:
    return sample()


@pytest.fixture
def client(tmp_path: Path, operations: FakeOperations) -> Iterator[Client]:
    with ServedDirector(operations, socket_path("lb1", tmp_path)):
        yield Client("lb1", tmp_path)


def test_the_list_has_of_each_event_what_it_has(client: Client, operations: FakeOperations) -> None:
    found = client.events()
    assert found == [json.loads(json.dumps(event.document())) for event in operations.event_list]
    assert found[1]["real_server"] == "fw2"
    assert "leg" not in found[1]


def test_the_list_is_of_what_is_asked_for(client: Client) -> None:
    assert [event["kind"] for event in client.events(after=EVENTS_FROM + 2)] == ["edited"]
    assert [event["kind"] for event in client.events(kind="started")] == ["started"]
    assert [event["kind"] for event in client.events(kind=["started", "edited"])] == ["started", "edited"]


@pytest.mark.parametrize("filters", [{"kind": "exploded"}, {"after": "soon"}, {"after": -1}, {"since": -1}])
def test_what_cannot_be_asked_for_is_refused(client: Client, filters: dict[str, str]) -> None:
    with pytest.raises(DirectorError, match=f"can't read the request: {next(iter(filters))}"):
        client.events(**filters)


def test_the_stream_is_lines_and_goes_on(client: Client, operations: FakeOperations) -> None:
    with closing(client.follow_events(after=EVENTS_FROM + 1)) as stream:
        assert [next(stream)["kind"], next(stream)["kind"]] == ["server_down", "edited"]  # type: ignore[index]
        operations.event_list.append(UP)
        assert next(event for event in stream if event is not None)["kind"] == "server_up"


def test_a_reader_that_leaves_gives_up_its_place(client: Client, operations: FakeOperations) -> None:
    with closing(client.follow_events()) as stream:
        assert next(stream) is None
        (follower,) = operations.followers
        assert follower.query == EventQuery()
        assert not follower.closed.is_set()
    assert wait_until(follower.closed.is_set, timeout=10)


def test_an_empty_line_says_that_the_director_is_there(client: Client, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(socket_path(client.director(), tmp_path)))
        connection.sendall(b"GET /v1/events?follow=true HTTP/1.0\r\n\r\n")
        told = b""
        while not told.endswith(b"\r\n\r\n\n\n"):
            told += connection.recv(65536)
    assert b"content-type: application/x-ndjson" in told


def test_the_openapi_document_has_the_event() -> None:
    described = application(sample()).openapi()
    fields = [field.name for field in dataclasses.fields(Event)]
    assert list(described["components"]["schemas"]["Event"]["properties"]) == fields
    assert set(described["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]) == {
        "application/json",
        "application/x-ndjson",
    }


class TestTheDocument:
    """docs/events.md and the model say the same."""

    text = (ROOT / "docs" / "events.md").read_text()

    def test_every_kind_is_documented_and_no_other(self) -> None:
        section = self.text[self.text.index("## Kinds") :]
        assert [kind for kind, _ in KIND_ROW.findall(section)] == sorted(Kind, key=self.place)

    def place(self, kind: Kind) -> int:
        return self.text.find(f"| `{kind.value}` |")

    def test_every_field_is_documented(self) -> None:
        section = self.text[self.text.index("## Fields") : self.text.index("## Kinds")]
        assert FIELD_ROW.findall(section) == COMMON
        used = {field for _, fields in KIND_ROW.findall(self.text) for field in re.findall(r"`(\w+)`", fields)}
        assert used == set(get_type_hints(Details))

    def test_each_kind_is_logged_with_the_fields_that_are_documented(self) -> None:
        documented = {kind: set(re.findall(r"`(\w+)`", fields)) for kind, fields in KIND_ROW.findall(self.text)}
        for kind, given in logged():
            assert given <= documented[kind], kind
        assert {kind for kind, _ in logged()} == set(Kind) - UNLOGGED

    def test_the_event_has_the_details_and_what_is_common(self) -> None:
        assert [field.name for field in dataclasses.fields(Event)] == [*COMMON, *get_type_hints(Details)]


def logged() -> Iterator[tuple[Kind, set[str]]]:
    """(kind, fields that stand beside it) of each place in the sources that names one."""
    for path in files(".py", folders=("src",)):
        tree = parsed(path)
        given = {
            id(call.args[0]): {each.arg for each in call.keywords if each.arg}
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "told" and call.args
        }
        for found in ast.walk(tree):
            if isinstance(found, ast.Attribute) and ast.unparse(found.value) == "Kind" and path.parent.name != "api":
                kind = Kind[found.attr]
                if kind not in UNLOGGED:
                    yield kind, given.get(id(found), set())
