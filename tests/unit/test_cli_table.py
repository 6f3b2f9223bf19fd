"""The layout of tables, and how numbers are spelt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasthop.cli.table import Cell, Column, Layout, Styled, layout, print_lines, print_table
from lasthop.cli.text import count, duration, present

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = (Column("NAME"), Column("VALUE", right=True), Column("NOTE", spare=1), Column("MORE", spare=2))
ROWS: list[tuple[Cell, ...]] = [("a", "1", "first", "x" * 20), ("longer", "1000", Styled("second", "red"), "y")]


def text(table: Layout) -> list[str]:
    return ["".join(piece.text for piece in line).rstrip() for line in table.lines]


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    assert text(layout(COLUMNS, ROWS)) == [
        "NAME    VALUE  NOTE    MORE",
        "a           1  first   xxxxxxxxxxxxxxxxxxxx",
        "longer   1000  second  y",
    ]


def test_without_rows_the_headers_stand_alone() -> None:
    assert text(layout(COLUMNS, [])) == ["NAME  VALUE  NOTE  MORE"]


def test_a_narrow_terminal_leaves_out_the_most_spare_columns_first() -> None:
    assert layout(COLUMNS, ROWS, 43).left_out == []
    assert layout(COLUMNS, ROWS, 42).left_out == ["MORE"]
    assert layout(COLUMNS, ROWS, 20).left_out == ["NOTE", "MORE"]
    assert layout(COLUMNS, ROWS, 1).left_out == ["NOTE", "MORE"]


def test_a_column_that_shrinks_is_shortened_visibly() -> None:
    columns = (Column("NAME"), Column("HOP", shrinks=True))
    assert text(layout(columns, [("a", "02:00:00:00:00:01@outside")], 20))[1] == "a     02:00:00:00:0…"


def test_a_column_that_wraps_goes_on_below_itself() -> None:
    columns = (Column("NAME"), Column("MEANING", wraps=True))
    assert text(layout(columns, [("a", "one two three four"), ("b", "five")], 16)) == [
        "NAME  MEANING",
        "a     one two",
        "      three four",
        "b     five",
    ]


@given(st.lists(st.tuples(*[st.text("abc", max_size=30)] * 4), max_size=5), st.integers(1, 100))
def test_rows_are_never_lost_and_fit_once_only_needed_columns_are_left(
    rows: Sequence[tuple[str, str, str, str]], width: int
) -> None:
    table = layout(COLUMNS, rows, width)
    assert len(table.lines) == len(rows) + 1
    if len(table.left_out) < 2:
        assert all(len(line) <= width for line in text(table))


def test_piped_output_is_plain_and_keeps_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, ROWS, empty="Nothing.")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.splitlines()[2] == "longer   1000  second  y"
    print_table(COLUMNS, [], empty="Nothing.")
    assert capsys.readouterr().out == "NAME  VALUE  NOTE  MORE\n"


def test_a_terminal_gets_colour_and_the_sentence_for_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_table(COLUMNS, ROWS, empty="Nothing.")
    out = capsys.readouterr().out
    assert "\x1b[31msecond" in out
    assert "No room for MORE" in re.sub(r"\x1b\[[0-9;]*m", "", out)
    print_table(COLUMNS, [], empty="Nothing.")
    assert capsys.readouterr().out == "Nothing.\n"
    monkeypatch.setenv("NO_COLOR", "1")
    print_lines([[Styled("text", "red")]])
    assert "\x1b[31m" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "spelt"),
    [
        (-0.1, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m00s"), (72, "1m12s"), (3599, "59m59s"), (3600, "1h00m"),
        (86399, "23h59m"), (86400, "1d00h"), (432000, "5d00h"), (90 * 86400 + 7200, "90d02h"),
    ],
)  # fmt: skip
def test_an_age_is_spelt_in_its_two_largest_units(seconds: float, spelt: str) -> None:
    assert duration(seconds) == spelt


def test_nouns_follow_their_number() -> None:
    assert [count(number, "leg") for number in (0, 1, 2)] == ["0 legs", "1 leg", "2 legs"]


def test_nothing_is_a_dash_but_zero_is_zero() -> None:
    assert [present(value) for value in (None, "", 0, "x")] == ["-", "-", "0", "x"]
