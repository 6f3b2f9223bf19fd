"""`lasthop events` on the command line: lines for people and programs, and a director that is restarted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lasthop.api.fake import ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import EVENTS_FROM, sample
from lasthop.errors import DirectorError
from lasthop.lab.waiting import wait_until
from lasthop.model.event import Event, Kind
from lasthop.start import PIPE_CLOSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from click.testing import Result

    from lasthop.api.fake import FakeOperations

PATIENCE_S = 30
UP = Event(EVENTS_FROM + 9, "2026-11-26T23:49:00.000Z", Kind.SERVER_UP, "info", "real server fw2 is up")


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day are those of Greenwich."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_an_event_is_a_line_with_who_asked_for_it(lasthop: Callable[..., Result]) -> None:
    result = lasthop("events")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "2026-11-26 23:48:51  started          director lb1 is running",
        "2026-11-26 23:48:52  server_down      real server fw2 of FWM 1 is down: no answer",
        "2026-11-26 23:48:53  edited           edit: kind=drain server=fw2 (by uid 0 (pid 4711))",
    ]


def test_json_is_an_event_a_line(lasthop: Callable[..., Result], operations: FakeOperations) -> None:
    told = [json.loads(line) for line in lasthop("events", "--json").stdout.splitlines()]
    assert told == [event.document() for event in operations.event_list]


def test_kinds_are_asked_for_by_name(lasthop: Callable[..., Result]) -> None:
    result = lasthop("events", "--json", "--kind", "edited", "--kind", "started")
    assert [json.loads(line)["kind"] for line in result.stdout.splitlines()] == ["started", "edited"]
    refused = lasthop("events", "--kind", "exploded")
    assert refused.exit_code == 2
    assert "server_down" in refused.stderr


def test_a_duration_that_is_none_is_refused(lasthop: Callable[..., Result]) -> None:
    assert "is no duration" in lasthop("events", "--since", "soon").stderr


def test_a_director_that_does_not_run_is_not_waited_for_at_first(tmp_path: Path) -> None:
    with command(tmp_path) as process:
        assert process.wait(PATIENCE_S) == 1
        assert "can't reach" in read_line(process.stderr)


def test_following_shows_what_comes_and_ends_by_a_signal(tmp_path: Path) -> None:
    operations = sample()
    with ServedDirector(operations, socket_path("lb1", tmp_path)), command(tmp_path) as process:
        assert wait_until(lambda: operations.followers, timeout=PATIENCE_S)
        operations.event_list.append(UP)
        assert json.loads(read_line(process.stdout)) == UP.document()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert operations.followers[0].closed.wait(PATIENCE_S)
        assert (process.stdout.read(), process.stderr.read()) == ("", "")  # type: ignore[union-attr]  # pipes


def test_following_since_shows_what_was_first(tmp_path: Path) -> None:
    operations = sample()
    with (
        ServedDirector(operations, socket_path("lb1", tmp_path)),
        command(tmp_path, "--since", "10m", "--kind", "edited") as process,
    ):
        assert json.loads(read_line(process.stdout))["kind"] == "edited"
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert operations.followers[0].query.since_s == 600


def test_a_director_that_is_restarted_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    first, second = sample(), sample()
    path = socket_path("lb1", tmp_path)
    with contextlib.ExitStack() as stack:
        with ServedDirector(first, path):
            process = stack.enter_context(command(tmp_path))
            assert wait_until(lambda: first.followers, timeout=PATIENCE_S)
            first.event_list.append(UP)
            assert json.loads(read_line(process.stdout))["kind"] == "server_up"
            first.failure = DirectorError("can't answer: it ends", "wait")
            first.followers[0].close()
            assert "waiting until it is there again" in read_line(process.stderr)
        second.event_list.append(Event(UP.seq + 1, UP.time, Kind.STARTED, "info", "director lb1 is running"))
        with ServedDirector(second, path):
            assert read_line(process.stderr) == "lasthop: it is there again\n"
            assert json.loads(read_line(process.stdout))["kind"] == "started"
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
    assert second.followers[0].query.after == UP.seq


def test_a_reader_that_leaves_ends_it_also_when_nothing_happens(tmp_path: Path) -> None:
    operations = sample()
    with ServedDirector(operations, socket_path("lb1", tmp_path)), command(tmp_path) as process:
        assert wait_until(lambda: operations.followers, timeout=PATIENCE_S)
        process.stdout.close()  # type: ignore[union-attr]  # a pipe
        assert process.wait(PATIENCE_S) == PIPE_CLOSED


class Command(subprocess.Popen[str]):
    """`lasthop events --follow` in a process of its own, which is gone when its context ends by a failure."""

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, problem, trace)


def command(directory: Path, *arguments: str) -> Command:
    code = f"import pathlib; from lasthop.__main__ import main; main(pathlib.Path({str(directory)!r}))"
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    environment.pop("LASTHOP_DIRECTOR", None)
    return Command(
        [sys.executable, "-c", code, "events", "--follow", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def read_line(stream: object) -> str:
    return str(stream.readline())  # type: ignore[attr-defined]  # a pipe
