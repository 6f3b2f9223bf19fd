"""`lasthop top --once`: one screen as text, for scripts; and how numbers and the first line are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from lasthop.__main__ import program
from lasthop.api.fake import ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import sample
from lasthop.tui.heading import heading
from lasthop.tui.views import VIEWS, short
from tests.unit.top_views import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[None]:
    with ServedDirector(sample(), socket_path("lb1", tmp_path)):
        yield


@pytest.mark.parametrize("view", list(VIEWS))
def test_each_view_is_printed_within_80_columns(view: str, served: None, tmp_path: Path) -> None:
    result = CliRunner().invoke(program, ["top", "--once", "--view", view, "--interval", "0.2"], obj=tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    heading_line, columns, *rows = result.stdout.splitlines()
    assert heading_line.startswith("lb1: needs attention")
    assert set(SHOWN[view][0]) <= set(columns.split())
    assert any(all(cell in row for cell in SHOWN[view][1]) for row in rows)
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_without_a_director_one_screen_fails(tmp_path: Path) -> None:
    result = CliRunner().invoke(program, ["top", "--once"], obj=tmp_path)
    assert result.exit_code == 1
    assert "none runs here" in result.stderr


def test_without_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(program, ["top"], obj=tmp_path)
    assert result.exit_code == 2
    assert "--once prints one screen" in result.stderr


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (0.001, "0"), (0.25, "0.25"), (1, "1"), (1.25, "1.2"), (12.4, "12"), (999.4, "999"), (999.6, "1.0k"),
        (1234, "1.2k"), (83_000, "83k"), (830_000_000, "830M"), (2e12, "2T"), (3.4e18, "3400P"),
    ],
)  # fmt: skip
def test_a_number_is_four_characters_and_a_unit_at_most(number: float, text: str) -> None:
    assert short(number) == text


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_heading_has_what_there_is_room_for(width: int) -> None:
    status = {
        "director": "lb1", "problems": [], "unresolved": [], "legs": 2, "legs_up": 2, "connections": 4,
        "connections_max": 1000, "real_servers": 5,
    }  # fmt: skip
    line = "".join(piece.text for piece in heading(status, "12:00:00", width))
    assert line.startswith("lb1: all well")
    assert len(line) <= max(width, len("lb1: all well"))
    assert ("5 real servers" in line) == (width >= 80)
