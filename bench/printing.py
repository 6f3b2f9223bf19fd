"""The table a person reads: ratios first, each with its spread. Nothing here measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measurement import Row

#: Where the middle half of the rounds spans more than this share of the ratio, another run is due.
NOISY = 0.15


def table(title: str, rows: Sequence[Row]) -> Table:
    """Rows of one group; a ratio whose rounds disagree has a question mark."""
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("measured", "unit", "value", "baseline", "its value", "ratio", "middle half"):
        numeric = heading in {"value", "its value", "ratio", "middle half"}
        shown.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        low, high = row.spread
        shown.add_row(
            row.name,
            f"{row.unit} {'↑' if row.larger_is_better else '↓'}",
            number(row.value),
            row.baseline,
            number(row.baseline_value),
            f"[bold]{row.ratio:.2f}[/bold]{'?' if noisy(row) else ''}",
            f"{low:.2f} to {high:.2f}",
        )
    return shown


def noisy(row: Row) -> bool:
    """Whether the rounds of a row disagree so far that its ratio says little."""
    low, high = row.spread
    return high - low > NOISY * row.ratio


def number(value: float) -> str:
    """Three digits that count, thousands apart."""
    if round(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"
