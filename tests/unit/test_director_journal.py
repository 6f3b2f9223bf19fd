"""The state file: edits outlive the director, and a file that was changed since wins."""

from __future__ import annotations

import errno
import json
import logging
import os
from pathlib import Path

import pytest

from lasthop.config import parse
from lasthop.dataplane.fake import FakeDataPlane
from lasthop.director import journal as module
from lasthop.director.director import Director
from lasthop.director.edits import edited
from lasthop.director.journal import Journal
from lasthop.model.edit import ServiceEdit, SetTimeouts, Weigh
from tests.unit.director_worlds import WHOLE

TEXT = (Path(__file__).parents[2] / "examples/lb1.toml").read_text()
FILE = "/etc/lasthop/lb1.toml"
GIVEN = parse(TEXT, FILE)


def director(journal: Journal) -> Director:
    """A director that starts, as the process does."""
    started = Director(
        journal.restore(GIVEN, TEXT, FILE), FILE, FakeDataPlane(GIVEN.director.connections), journal=journal
    )
    started.start(WHOLE)
    return started


def test_edits_are_made_again_by_the_next_director(tmp_path: Path) -> None:
    path = tmp_path / "lib" / "lb1.json"
    first = director(Journal(path))
    first.edit([Weigh("weigh", "fw1", 5)])
    first.edit([ServiceEdit("add_service", "FWM 7"), SetTimeouts("set_timeouts", udp=100)])
    second = director(Journal(path))
    assert second.dump() == first.dump()
    assert "udp = 100" in second.dump()
    second.edit([Weigh("weigh", "fw1", 6)])
    assert director(Journal(path)).dump() == second.dump()


def test_a_director_without_edits_writes_nothing(tmp_path: Path) -> None:
    director(Journal(tmp_path / "lb1.json"))
    assert list(tmp_path.iterdir()) == []


def test_a_refused_edit_is_not_kept(tmp_path: Path) -> None:
    running = director(Journal(tmp_path / "lb1.json"))
    before = running.dump()
    with pytest.raises(Exception, match="no real server fw9"):
        running.edit([Weigh("weigh", "fw1", 5), Weigh("weigh", "fw9", 5)])
    assert running.dump() == before
    assert list(tmp_path.iterdir()) == []


def test_applying_a_file_forgets_the_edits_made_before(tmp_path: Path) -> None:
    path = tmp_path / "lb1.json"
    running = director(Journal(path))
    running.edit([Weigh("weigh", "fw1", 5)])
    running.apply(TEXT, FILE)
    assert not path.exists()
    running.edit([Weigh("weigh", "fw2", 7)])
    assert "weight = 5" not in director(Journal(path)).dump()


def test_a_file_that_was_changed_since_wins_and_the_edits_are_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "lb1.json"
    director(Journal(path)).edit([Weigh("weigh", "fw1", 5)])
    with caplog.at_level(logging.WARNING):
        restored = Journal(path).restore(GIVEN, TEXT + "\n", FILE)
    assert restored == GIVEN
    assert not path.exists()
    assert '"weigh"' in (tmp_path / "lb1.discarded").read_text()
    assert "is another since" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\n", b"nonsense\n", b"[]\n", b'{"lasthop": 99}\n', b"\xff\xfe\n"])
def test_a_broken_state_file_is_put_aside_and_the_director_starts(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lb1.json"
    path.write_bytes(content)
    assert Journal(path).restore(GIVEN, TEXT, FILE) == GIVEN
    assert (tmp_path / "lb1.discarded").read_bytes() == content


def test_an_edit_that_was_half_written_when_the_power_went_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lb1.json"
    director(Journal(path)).edit([Weigh("weigh", "fw1", 5)])
    path.write_bytes(path.read_bytes() + b'[{"kind":"wei')
    journal = Journal(path)
    kept = edited(GIVEN, [Weigh("weigh", "fw1", 5)])
    assert journal.restore(GIVEN, TEXT, FILE) == kept
    after = edited(kept, [Weigh("weigh", "fw2", 6)])
    journal.append([Weigh("weigh", "fw2", 6)], after)
    assert Journal(path).restore(GIVEN, TEXT, FILE) == after


class FullDisk:
    """Where a file is written in part, and then no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self._monkeypatch = monkeypatch
        self._path = path

    def __enter__(self) -> None:
        def fsync(_: int) -> None:
            self._path.write_bytes(self._path.read_bytes()[:-20])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self._monkeypatch.setattr(os, "fsync", fsync)

    def __exit__(self, *_: object) -> None:
        self._monkeypatch.undo()


def test_after_a_disk_was_full_the_next_edit_keeps_all_that_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lb1.json"
    running = director(Journal(path))
    running.edit([Weigh("weigh", "fw1", 5)])
    with FullDisk(monkeypatch, path):
        assert "No space left" in running.edit([ServiceEdit("add_service", "FWM 7")]).warnings[-1]
    assert "FWM 7" not in {each.label for each in Journal(path).restore(GIVEN, TEXT, FILE).services}
    running.edit([Weigh("weigh", "fw2", 6)])
    running.edit([Weigh("weigh", "fw2", 7)])
    assert director(Journal(path)).dump() == running.dump()
    assert "mark = 7" in running.dump()


def test_where_nothing_can_be_moved_a_director_starts_and_its_next_edit_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "lb1.json"
    director(Journal(path)).edit([Weigh("weigh", "fw1", 5)])

    def replace(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "replace", replace)
    journal = Journal(path)
    assert journal.restore(GIVEN, TEXT + "\n", FILE) == GIVEN
    assert f"they are in {path}" in caplog.text
    monkeypatch.undo()
    after = edited(GIVEN, [Weigh("weigh", "fw2", 6)])
    journal.append([Weigh("weigh", "fw2", 6)], after)
    assert Journal(path).restore(GIVEN, TEXT + "\n", FILE) == after


def test_what_came_of_edits_that_were_put_aside_is_not_mixed_with_later_ones(tmp_path: Path) -> None:
    path = tmp_path / "lb1.json"
    first = director(Journal(path))
    first.edit([Weigh("weigh", "fw1", 5)])
    head = json.loads(path.read_text().splitlines()[0]) | {"configuration": first.dump()}
    path.write_text(json.dumps(head) + '\n[{"kind":"weigh","server":"fw99","weight":1}]\n')
    second = director(Journal(path))
    assert "weight = 5" not in second.dump()
    second.edit([Weigh("weigh", "fw2", 7)])
    assert director(Journal(path)).dump() == second.dump()


def test_an_edit_that_cannot_be_kept_is_made_and_the_answer_and_the_status_say_so(tmp_path: Path) -> None:
    obstacle = tmp_path / "lib"
    obstacle.write_text("a file where the directory should be")
    running = director(Journal(obstacle / "lb1.json"))
    (warning,) = running.edit([Weigh("weigh", "fw1", 5)]).warnings
    assert "would be lost by a restart" in warning
    assert warning in running.status().problems
    assert "weight = 5" in running.dump()


def test_after_many_edits_the_file_holds_what_came_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPACT_BYTES", 200)
    path = tmp_path / "lb1.json"
    running = director(Journal(path))
    for weight in range(20):
        running.edit([Weigh("weigh", "fw1", weight)])
    lines = path.read_text().splitlines()
    assert len(lines) < 6
    assert "weight" in json.loads(lines[0])["configuration"]
    assert director(Journal(path)).dump() == running.dump()
