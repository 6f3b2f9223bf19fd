"""Measurements: what was timed in rounds, beside what, and the one ratio that comes of it.

Owns the arithmetic and the JSON of a row. How rows are measured is the groups' business, how they are
shown is `bench.printing`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median_low, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

LARGER_IS_BETTER = frozenset({"Gbit/s", "connections/s", "packets/s"})


@dataclass(frozen=True, slots=True)
class Row:
    """Something measured beside its baseline: one value of each per round, taken shortly after one another."""

    name: str
    unit: str
    values: tuple[float, ...]
    baseline: str
    baseline_values: tuple[float, ...]

    @property
    def median_round(self) -> int:
        """The round whose ratio is the median (the lower one of two): value, baseline and ratio are its own.

        So the three belong together, and a load on the machine that comes and goes meets both sides alike.
        """
        ratios = self.ratios
        return ratios.index(median_low(ratios))

    @property
    def value(self) -> float:
        """What was measured in the median round."""
        return self.values[self.median_round]

    @property
    def baseline_value(self) -> float:
        """What the baseline had in the median round."""
        return self.baseline_values[self.median_round]

    @property
    def ratio(self) -> float:
        """Value by baseline; above 1 is more of the unit than the baseline."""
        return self.ratios[self.median_round]

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round."""
        return [value / other for value, other in zip(self.values, self.baseline_values, strict=True)]

    @property
    def spread(self) -> tuple[float, float]:
        """What the middle half of the rounds lies between, as ratios: how far to trust `ratio`."""
        if len(self.values) == 1:
            return self.ratio, self.ratio
        low, _, high = quantiles(self.ratios, n=4, method="inclusive")
        return low, high

    @property
    def larger_is_better(self) -> bool:
        """Whether more of the unit is good."""
        return self.unit in LARGER_IS_BETTER

    def as_json(self) -> dict[str, Any]:
        """The row as it stands in build/bench.json."""
        return {
            "name": self.name,
            "unit": self.unit,
            "value": _significant(self.value),
            "baseline": self.baseline,
            "baseline_value": _significant(self.baseline_value),
            "ratio": round(self.ratio, 4),
            "rounds": len(self.values),
        }


def rows_beside(baseline: str, taken: Mapping[str, Iterable[float]], names: Mapping[str, str], unit: str) -> list[Row]:
    """Rows for the series in `names` (series -> row name), each beside the series called `baseline`."""
    others = tuple(taken[baseline])
    return [Row(name, unit, tuple(taken[series]), baseline, others) for series, name in names.items()]


def interleaved(
    measures: Mapping[str, Callable[[], float]], rounds: int, said: Callable[[str], object]
) -> dict[str, list[float]]:
    """Take every measure once per round, so that all of them meet the same noise; `said` hears of each one.

    The first measure of a round is another one each time: what a measure leaves behind (warm caches,
    a hot processor) does not always meet the same one.
    """
    names = list(measures)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            said(f"{name} {number + 1}/{rounds}")
            taken[name].append(measures[name]())
    return taken


def write(rows: Iterable[Row], file: Path) -> None:
    """Write rows as a JSON list."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")


def _significant(value: float) -> float:
    return float(f"{value:.4g}")
