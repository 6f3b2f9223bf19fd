"""`lasthop apply`: what it sends, and how it says what came of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from lasthop import __main__ as entry
from lasthop.api.client import Client
from lasthop.api.fake import FakeOperations, ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import sample
from lasthop.daemon.apply import sentences
from lasthop.errors import ConfigurationError, DirectorError, Mistake
from lasthop.model.change import Change, ChangeReport, Stranded

if TYPE_CHECKING:
    from pathlib import Path

REPORT = ChangeReport(
    "lb1",
    "/etc/lasthop/lb1.toml",
    applied=True,
    changes=[Change("leg dmz", "added"), Change("table", "changed", ("connections 5000 -> 9000",))],
    stranded=[Stranded("FWM 1", "fw1", "removed", 1), Stranded("FWM 1", "fw2", "unresolved", 12)],
)


def applied(operations: FakeOperations, directory: Path, *arguments: str) -> click.testing.Result:
    """Run `lasthop apply` against `operations`."""
    with ServedDirector(operations, socket_path("lb1", directory)):
        return CliRunner().invoke(entry.program, ["apply", *arguments], obj=directory, prog_name="lasthop")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with something in it that is not ASCII."""
    path = tmp_path / "lb1.toml"
    path.write_text("# größer\n", encoding="utf-8")
    return path


def test_the_text_of_the_file_goes_to_the_director_with_its_path(file: Path, tmp_path: Path) -> None:
    operations = sample()
    assert applied(operations, tmp_path, str(file)).exit_code == 0
    assert applied(operations, tmp_path, str(file), "--dry-run").exit_code == 0
    assert operations.applied == [("# größer\n", str(file), False), ("# größer\n", str(file), True)]


def test_what_changed_is_a_line_each(file: Path, tmp_path: Path) -> None:
    operations = sample()
    operations.change_report = REPORT
    assert applied(operations, tmp_path, str(file)).stdout.splitlines() == [
        "Director lb1 runs /etc/lasthop/lb1.toml now:",
        "  leg dmz added",
        "  table changed: connections 5000 -> 9000",
        "  1 live connection of FWM 1 is on fw1, which is removed",
        "  12 live connections of FWM 1 are on fw2, which has no MAC address",
    ]


def test_a_dry_run_says_that_nothing_was_applied() -> None:
    report = {"director": "lb1", "configuration": "x.toml", "applied": False, "stranded": []}
    change = {"subject": "leg dmz", "kind": "removed", "details": []}
    first, second = (click.unstyle(line) for line in sentences(report | {"changes": [change]}))
    assert (first, second) == ("Nothing was applied; x.toml would change:", "  leg dmz removed")


def test_a_file_that_changes_nothing_is_one_line(file: Path, tmp_path: Path) -> None:
    assert applied(sample(), tmp_path, str(file)).stdout == "nothing to change\n"


def test_the_report_can_be_had_as_json(file: Path, tmp_path: Path) -> None:
    operations = sample()
    operations.change_report = REPORT
    document = json.loads(applied(operations, tmp_path, str(file), "--json").stdout)
    assert document["changes"][1]["details"] == ["connections 5000 -> 9000"]
    assert document["stranded"][0]["connections"] == 1


def test_every_mistake_in_the_file_has_its_line_and_the_exit_code_is_1(file: Path, tmp_path: Path) -> None:
    operations = sample()
    operations.failure = ConfigurationError(
        str(file), [Mistake("leg[0].zone", "", "is missing", "add it"), Mistake("table.connections", "1", "is", "do")]
    )
    result = applied(operations, tmp_path, str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"lasthop: {file}: leg[0].zone: is missing; add it",
        f"lasthop: {file}: table.connections = 1: is; do",
    ]


def test_a_file_that_cannot_be_read_is_not_sent(tmp_path: Path) -> None:
    operations = sample()
    result = applied(operations, tmp_path, str(tmp_path / "none.toml"))
    assert (result.exit_code, operations.applied) == (1, [])
    assert "can't be read: no such file or directory" in result.stderr


def test_a_refusal_is_the_directors_own_words(file: Path, tmp_path: Path) -> None:
    operations = sample()
    operations.failure = DirectorError("can't apply it: it is another's", "name that one")
    with (
        ServedDirector(operations, socket_path("lb1", tmp_path)),
        pytest.raises(DirectorError, match="can't apply it: it is another's; name that one"),
    ):
        Client("lb1", tmp_path).apply(str(file), "")
