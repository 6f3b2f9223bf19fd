"""What a shell offers: commands without importing them, and the names of the running director."""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from lasthop.__main__ import COMMANDS, program
from lasthop.api.fake import ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import sample
from lasthop.cli import completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Offered = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where director lb1 listens."""
    monkeypatch.delenv("LASTHOP_DIRECTOR", raising=False)
    with ServedDirector(sample(), socket_path("lb1", tmp_path)):
        yield tmp_path


def offered(folder: Path, *words: str) -> list[str]:
    """What bash is offered for the last of `words`."""
    asked = {
        "_LASTHOP_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("lasthop", *words)),
        "COMP_CWORD": str(len(words)),
    }
    result = CliRunner().invoke(program, [], obj=folder, prog_name="lasthop", env=asked)
    assert (result.exit_code, result.stderr) == (0, "")
    return [line.removeprefix("plain,") for line in result.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("drain", "fw"), ["fw1", "fw2", "fw3", "fw4"]),
        (("disable", "fw3"), ["fw3"]),
        (("weight", "rou"), ["router"]),
        (("--director", "lb1", "enable", "fw4"), ["fw4"]),
        (("capture", ""), ["firewalls", "outside"]),
        (("explain", "--leg", "o"), ["outside"]),
        (("mark", "add", "--leg", "f"), ["firewalls"]),
        (("connections", "--server", "fw1"), ["fw1"]),
        (("drain", "fw1", "--service", ""), ["1", "2"]),
        (("--director", "l"), ["lb1"]),
    ],
)
def test_names_of_the_running_director_are_offered(words: tuple[str, ...], names: list[str], folder: Path) -> None:
    assert offered(folder, *words) == names


def test_commands_are_offered_without_being_imported(folder: Path) -> None:
    sys.modules.pop("lasthop.cli.hops", None)
    assert set(COMMANDS) <= set(offered(folder, ""))
    assert offered(folder, "dra") == ["drains", "drain"]
    assert "lasthop.cli.hops" not in sys.modules


def test_files_are_left_to_the_shell(folder: Path) -> None:
    assert offered(folder, "run", "/etc") == ["file,/etc"]


@pytest.mark.parametrize("words", [("drain", ""), ("--director", ""), ("--director", "../x", "drain", "")])
def test_nothing_is_offered_or_said_where_no_director_runs(words: tuple[str, ...], tmp_path: Path) -> None:
    assert offered(tmp_path, *words) == []


def test_nothing_is_offered_of_a_director_on_another_machine(folder: Path) -> None:
    assert offered(folder, "--director", "https://192.0.2.9:8443", "drain", "") == []


def test_a_director_that_does_not_answer_soon_offers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "_PATIENCE_S", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(socket_path("lb1", tmp_path)))
        silent.listen()
        began = time.monotonic()
        assert offered(tmp_path, "drain", "") == []
        assert time.monotonic() - began < 5
