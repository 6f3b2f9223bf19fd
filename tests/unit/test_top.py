"""`lasthop top`: its views at 80 columns, its keys, and a director that is slow, gone and back."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lasthop.api.client import Client
from lasthop.api.fake import FakeOperations, ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import sample
from lasthop.errors import DirectorError
from lasthop.lab.waiting import patience
from lasthop.model.edit import Administer
from lasthop.tui.app import Top
from lasthop.tui.views import VIEWS
from tests.unit.top_views import SHOWN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from textual.pilot import Pilot

    from lasthop.api.client import Report

HEADINGS, FIRST_ROW = 2, 3


class Screen:
    """`lasthop top` on a screen of its own."""

    def __init__(self, app: Top, pilot: Pilot[None]) -> None:
        self.app = app
        self.press = pilot.press
        self._pilot = pilot

    @property
    def lines(self) -> list[str]:
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    @property
    def rows(self) -> list[str]:
        return [line.rstrip() for line in self.lines[FIRST_ROW:-1] if line.strip()]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for it."""
        try:
            async with asyncio.timeout(patience(20)):
                while not condition():
                    await self._pilot.pause(0.01)
        except TimeoutError:
            pytest.fail("waited in vain, with this on the screen:\n" + "\n".join(self.lines))

    async def until_shown(self, text: str) -> None:
        await self.until(lambda: any(text in line for line in self.lines))


@pytest.fixture
def operations() -> FakeOperations:
    return sample()


@pytest.fixture
def served(operations: FakeOperations, tmp_path: Path) -> Iterator[Client]:
    with ServedDirector(operations, socket_path("lb1", tmp_path)):
        yield Client("lb1", tmp_path)


@asynccontextmanager
async def screen(client: Client, view: str = "servers", width: int = 80) -> AsyncIterator[Screen]:
    app = Top(client, view, 0.2)
    async with app.run_test(size=(width, 24)) as pilot:
        yield Screen(app, pilot)


@pytest.mark.parametrize("number", range(1, 8))
def test_a_view_has_its_columns_and_rows_within_80_columns(number: int, served: Client) -> None:
    view = list(VIEWS)[number - 1]
    columns, cells = SHOWN[view]

    async def scene() -> None:
        async with screen(served, "hops" if view != "hops" else "legs") as shown:
            await shown.press(str(number))
            await shown.until(lambda: any(all(cell in row for cell in cells) for row in shown.rows))
            assert set(columns) <= set(shown.lines[HEADINGS].split())
            assert all(len(line) == 80 for line in shown.lines)
            assert shown.app._table.max_scroll_x == 0
            assert not shown.app._table.show_horizontal_scrollbar
            assert "…" not in "".join(shown.rows) or view in ("counters", "connections")

    asyncio.run(scene())


def test_a_wide_terminal_shows_more_of_it(served: Client) -> None:
    async def scene() -> None:
        async with screen(served, width=132) as shown:
            await shown.until_shown("10.0.1.14")
            assert {"ADDRESS", "LEG", "MAC"} <= set(shown.lines[HEADINGS].split())

    asyncio.run(scene())


def test_the_first_lines_tell_of_the_director_and_the_views(served: Client) -> None:
    async def scene() -> None:
        async with screen(served) as shown:
            await shown.until_shown("lb1: needs attention, 4 of 1M connections, 2/2 legs up")
            assert shown.lines[1].split() == [word for each in enumerate(VIEWS, 1) for word in map(str, each)]

    asyncio.run(scene())


def test_tab_and_arrows_go_through_the_views(served: Client) -> None:
    async def scene() -> None:
        async with screen(served, "events") as shown:
            for key, first in (("tab", "SERVICE"), ("shift+tab", "TIME"), ("left", "COUNTER"), ("right", "TIME")):
                await shown.press(key)
                await shown.until(lambda first=first: shown.lines[HEADINGS].startswith(first))  # type: ignore[misc]

    asyncio.run(scene())


def test_rows_are_sorted_and_turned_round(served: Client) -> None:
    def names(shown: Screen) -> list[str]:
        return [row.split()[2] for row in shown.rows]

    async def scene() -> None:
        async with screen(served) as shown:
            await shown.until(lambda: names(shown) == ["fw1", "fw2", "fw3", "fw4", "router"])
            await shown.press("r")
            await shown.until(lambda: names(shown) == ["router", "fw4", "fw3", "fw2", "fw1"])
            assert "by file, reversed" in shown.lines[-1]
            for _ in range(5):
                await shown.press("s")
            await shown.until(lambda: "by name " in shown.lines[-1])
            assert names(shown) == ["fw1", "fw2", "fw3", "fw4", "router"]

    asyncio.run(scene())


def test_the_biggest_connections_are_asked_for_by_what_they_are_sorted_by(
    served: Client, operations: FakeOperations
) -> None:
    old = replace(operations.connection_reports[0], age_s=90_000.0, source="198.51.100.77")
    operations.connection_reports.append(old)

    async def scene() -> None:
        async with screen(served, "connections") as shown:
            await shown.until_shown("198.51.100.77")
            await shown.press("s", "s")
            await shown.until(lambda: "198.51.100.77" in shown.rows[0])
            assert "by age" in shown.lines[-1]

    asyncio.run(scene())


def test_a_filter_narrows_while_it_is_typed_and_ends_by_escape(served: Client) -> None:
    async def scene() -> None:
        async with screen(served) as shown:
            await shown.until(lambda: len(shown.rows) == 5)
            await shown.press("slash", *"UNRES")
            await shown.until(lambda: [row.split()[2] for row in shown.rows if "fw" in row] == ["fw4"])
            await shown.press("enter")
            await shown.until(lambda: len(shown.rows) == 1)
            assert "with 'UNRES'" in shown.lines[-1]
            await shown.press("slash", *"zzz")
            await shown.until_shown("No row has that.")
            await shown.press("escape")
            await shown.until(lambda: len(shown.rows) == 5)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("key", "kind", "answer", "service"),
    [("d", "drain", "y", None), ("e", "enable", "s", "FWM 1"), ("x", "disable", "y", None)],
)
def test_a_real_server_is_changed_after_a_question(
    key: str, kind: str, answer: str, service: str | None, served: Client, operations: FakeOperations
) -> None:
    async def scene() -> None:
        async with screen(served) as shown:
            await shown.until(lambda: len(shown.rows) == 5)
            await shown.press("down", "down", key)
            await shown.until_shown(f"{kind.capitalize()} real server fw3")
            assert operations.edited == []
            await shown.press(answer)
            await shown.until_shown(f"real server fw3 is {kind}")
            assert operations.edited == [Administer(kind, "fw3", service)]  # type: ignore[arg-type]  # one of its words

    asyncio.run(scene())


@pytest.mark.parametrize("answer", ["n", "escape", "enter", "q"])
def test_nothing_is_changed_without_a_yes(answer: str, served: Client, operations: FakeOperations) -> None:
    async def scene() -> None:
        async with screen(served) as shown:
            await shown.until(lambda: len(shown.rows) == 5)
            await shown.press("x")
            await shown.until_shown("in every service")
            await shown.press(answer)
            await shown.until(lambda: not any("in every service" in line for line in shown.lines))
            assert operations.edited == []
            assert shown.app.is_running

    asyncio.run(scene())


def test_a_change_that_is_refused_or_warned_of_is_told(served: Client, operations: FakeOperations) -> None:
    operations.edit_warnings = ["service FWM 1 has nobody for new connections"]

    async def scene() -> None:
        async with screen(served) as shown:
            await shown.until(lambda: len(shown.rows) == 5)
            await shown.press("d", "y")
            await shown.until_shown("service FWM 1 has nobody for new connections")

    asyncio.run(scene())


def test_other_views_say_where_real_servers_are_chosen(served: Client) -> None:
    async def scene() -> None:
        async with screen(served, "hops") as shown:
            await shown.press("d")
            await shown.until_shown("to drain a real server, choose it in view 2")

    asyncio.run(scene())


def test_all_that_is_known_of_a_row_is_shown_on_demand(served: Client) -> None:
    async def scene() -> None:
        async with screen(served, "events") as shown:
            await shown.until(lambda: len(shown.rows) == 3)
            await shown.press("down", "enter")
            await shown.until_shown("real_server  fw2")
            await shown.press("escape")
            await shown.until(lambda: not any("real_server  fw2" in line for line in shown.lines))

    asyncio.run(scene())


def test_the_cursor_stays_with_its_row(served: Client, operations: FakeOperations) -> None:
    async def scene() -> None:
        async with screen(served) as shown:
            await shown.until(lambda: len(shown.rows) == 5)
            await shown.press("down", "down")
            operations.server_reports = operations.server_reports[1:]
            await shown.until(lambda: len(shown.rows) == 4)
            assert shown.app._table.key == "FWM 1 fw3"
            operations.server_reports = operations.server_reports[:1]
            await shown.until(lambda: len(shown.rows) == 1)
            assert shown.app._table.key == "FWM 1 fw2"

    asyncio.run(scene())


def test_a_long_list_is_scrolled_with_the_cursor(served: Client, operations: FakeOperations) -> None:
    operations.hop_reports = [replace(operations.hop_reports[2], id=each, moved=each) for each in range(1, 101)]

    async def scene() -> None:
        async with screen(served, "hops") as shown:
            await shown.until(lambda: len(shown.rows) == 20)
            await shown.press("end")
            await shown.until(lambda: shown.app._table.key == "100")
            await shown.until(lambda: " 100 " in f"{shown.rows[-1]} ")
            await shown.press("pageup", "home")
            await shown.until(lambda: shown.app._table.scroll_offset.y == 0)

    asyncio.run(scene())


def test_the_keys_are_listed_and_any_closes_the_list(served: Client) -> None:
    async def scene() -> None:
        async with screen(served) as shown:
            await shown.press("question_mark")
            await shown.until_shown("drain a real server: no new connections")
            await shown.press("z")
            await shown.until(lambda: not any("Any key" in line for line in shown.lines))
            await shown.press("q")
            await shown.until(lambda: not shown.app.is_running)

    asyncio.run(scene())


def test_a_director_that_is_gone_is_waited_for_and_what_was_shown_stays(tmp_path: Path) -> None:
    path = socket_path("lb1", tmp_path)

    async def scene() -> None:
        async with screen(Client("lb1", tmp_path)) as shown:
            await shown.until_shown("can't reach director 'lb1': it does not run; waiting for it")
            with ServedDirector(sample(), path):
                await shown.until_shown("lb1: needs attention")
                await shown.until(lambda: len(shown.rows) == 5)
            await shown.until_shown("waiting for it")
            assert len(shown.rows) == 5
            with ServedDirector(sample(), path):
                await shown.until_shown("lb1: needs attention")

    asyncio.run(scene())


def test_a_director_that_refuses_is_quoted(served: Client, operations: FakeOperations) -> None:
    operations.failure = DirectorError("can't tell you: no", "become somebody")

    async def scene() -> None:
        async with screen(served) as shown:
            await shown.until_shown("can't tell you: no")

    asyncio.run(scene())


class Slow(Client):
    """Speaks to a director that does not answer until it may."""

    def __init__(self) -> None:
        super().__init__("lb1")
        self.may = threading.Event()

    def status(self) -> Report:
        self.may.wait(patience(30))
        raise DirectorError("can't get an answer from director 'lb1'", "")


def test_keys_work_while_the_director_is_silent_and_one_may_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lasthop.tui.screen.SILENT_S", 0.1)
    client = Slow()

    async def scene() -> None:
        async with screen(client) as shown:
            await shown.until_shown("no answer for")
            await shown.press("6")
            await shown.until(lambda: shown.lines[HEADINGS].startswith("COUNTER"))
            await shown.press("q")
            await shown.until(lambda: not shown.app.is_running)

    try:
        asyncio.run(scene())
    finally:
        client.may.set()
