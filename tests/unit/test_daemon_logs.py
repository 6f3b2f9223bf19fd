"""The director's log: as sentences, as JSON, and in a socket that stands in for systemd's journal."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.daemon import logs
from lasthop.daemon.journald import Journald

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "socket"))
        made.settimeout(10)
        yield made


@pytest.fixture
def log(journal: socket.socket) -> Iterator[logging.Logger]:
    """A logger whose records go to `journal`."""
    logger, handler = logging.getLogger("lasthop.test"), Journald(journal.getsockname())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.removeHandler(handler)
    handler.close()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, left as it was."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def parsed(data: bytes) -> dict[str, str]:
    """A datagram, as the protocol's description has it."""
    found = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + length], data[9 + length :]
        found[name.decode()] = value.decode()
    return found


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, "7"), (logging.INFO, "6"), (logging.WARNING, "4"), (logging.ERROR, "3"), (logging.CRITICAL, "2")],
)
def test_a_record_has_its_sentence_its_severity_and_its_place(
    journal: socket.socket, log: logging.Logger, level: int, priority: str
) -> None:
    log.log(level, "leg %s is down", "outside")
    entry = parsed(journal.recv(4096))
    assert (entry["MESSAGE"], entry["PRIORITY"]) == ("leg outside is down", priority)
    assert entry["CODE_FILE"] == __file__
    assert entry["CODE_FUNC"].startswith("test_a_record_has")
    assert (entry["SYSLOG_IDENTIFIER"], entry["LOGGER"]) == ("lasthop", "lasthop.test")


def test_what_a_record_knows_beside_its_sentence_becomes_fields(journal: socket.socket, log: logging.Logger) -> None:
    log.info("down", extra={"lasthop": {"real_server": "fw1", "on-death": "reset", "port": 80, "none": None}})
    entry = parsed(journal.recv(4096))
    known = {name: value for name, value in entry.items() if name.startswith("LASTHOP_")}
    assert known == {"LASTHOP_REAL_SERVER": "fw1", "LASTHOP_ON_DEATH": "reset", "LASTHOP_PORT": "80"}


def test_a_message_of_several_lines_arrives_whole(journal: socket.socket, log: logging.Logger) -> None:
    log.error("one\ntwo=2\n\nfour")
    entry = parsed(journal.recv(4096))
    assert (entry["MESSAGE"], entry["PRIORITY"]) == ("one\ntwo=2\n\nfour", "3")


def test_a_traceback_is_part_of_the_message(journal: socket.socket, log: logging.Logger) -> None:
    try:
        int("odd")
    except ValueError:
        log.exception("sweep failed")
    message = parsed(journal.recv(8192))["MESSAGE"]
    assert message.startswith("sweep failed\nTraceback")
    assert message.endswith("ValueError: invalid literal for int() with base 10: 'odd'")


def test_a_message_too_large_for_a_datagram_goes_along_as_a_sealed_file(
    journal: socket.socket, log: logging.Logger
) -> None:
    log.warning("x" * 5_000_000)
    data, (descriptor, *_), _, _ = socket.recv_fds(journal, 4096, 1)
    with os.fdopen(descriptor, "rb") as file:
        entry = parsed(os.pread(file.fileno(), 6_000_000, 0))
        with pytest.raises(PermissionError):
            os.ftruncate(file.fileno(), 0)
    assert data == b""
    assert entry["MESSAGE"] == "x" * 5_000_000


@pytest.mark.usefixtures("root")
def test_the_sentence_is_all_of_the_message(journal: socket.socket) -> None:
    handler = Journald(journal.getsockname())
    logging.basicConfig(handlers=[handler], force=True)
    logs.name_director("lb1")
    logging.getLogger("lasthop.x").warning("leg outside is down")
    handler.close()
    entry = parsed(journal.recv(4096))
    assert (entry["MESSAGE"], entry["LASTHOP_DIRECTOR"]) == ("leg outside is down", "lb1")


def test_what_the_journal_does_not_take_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = Journald(tmp_path / "nobody")
    handler.handle(logging.makeLogRecord({"msg": "all well", "levelno": logging.INFO}))
    handler.close()
    assert capsys.readouterr().err == "all well\n"


@pytest.mark.usefixtures("root")
def test_json_is_one_object_a_line_and_names_the_director(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(logs.Form.JSON)
    logs.name_director("lb1")
    logging.getLogger("lasthop.x").warning("fw1\nis down", extra={"lasthop": {"real_server": "fw1", "level": "lost"}})
    (line,) = capsys.readouterr().err.splitlines()
    told: dict[str, Any] = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "warning",
        "message": "fw1\nis down",
        "logger": "lasthop.x",
        "director": "lb1",
        "real_server": "fw1",
    }


def test_the_journal_is_chosen_only_where_stderr_is_the_one_that_systemd_connected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "stderr").open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        found = os.fstat(stream.fileno())
        assert logs.stderr_is_journal({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not logs.stderr_is_journal({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not logs.stderr_is_journal({})


def test_a_closed_stderr_is_no_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stream = (tmp_path / "stderr").open("w")
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert not logs.stderr_is_journal({"JOURNAL_STREAM": "1:1"})


@pytest.mark.usefixtures("root")
def test_text_is_the_form_elsewhere(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logs.set_up(None)
    logging.getLogger("lasthop.x").info("director %s is running", "lb1")
    assert capsys.readouterr().err.endswith(" INFO director lb1 is running\n")
