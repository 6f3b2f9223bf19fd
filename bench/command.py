"""The bench's command line: which groups run, how long, and where their rows go."""

from __future__ import annotations

import argparse
import functools
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bench import connections, edits, health, sandwich
from bench.measurement import write
from bench.printing import table
from lasthop.errors import LasthopError
from lasthop.lab.requirements import check_requirements
from lasthop.lab.topology import ending_by_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.measurement import Row

    Group = Callable[[Callable[[str], object]], list[Row]]

_PIPED_WIDTH = 120
OUTPUT = Path(__file__).parents[1] / "build" / "bench.json"
#: The groups, in the order they run.
TITLES = {
    "table": "The connection table: BPF_PROG_TEST_RUN, a random connection per packet",
    "edits": "A director of 64,000 real servers: edits and lists by its clients",
    "health": "Failures: a dead real server of a million connections, and checks of 500",
    "stream": "One TCP stream through the two-box sandwich",
    "http": "Short HTTP connections through the two-box sandwich, 64 at a time",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the groups asked for; 0 if all of them have figures."""
    chosen = parser().parse_args(arguments)
    output, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    if not output.is_terminal:
        output.width = _PIPED_WIDTH
    rows: list[Row] = []
    wanted = [name for name in TITLES if name in (chosen.only or TITLES)]
    done = 0
    with ending_by_signal(), ExitStack() as stack:
        groups = _groups(chosen, stack)
        for name in wanted:
            try:
                with errors.status(name) as status:
                    found = groups[name](status.update)
            except LasthopError as error:
                errors.print(f"bench: {name}: {error}", style="red", markup=False, soft_wrap=True)
                continue
            output.print(table(TITLES[name], found))
            rows += found
            done += 1
    if rows:
        write(rows, chosen.output)
        output.print(f"{len(rows)} rows in {chosen.output}", markup=False, soft_wrap=True)
    return 0 if done == len(wanted) else 1


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="bench/run.py",
        description="Measure lasthop beside its baselines, in interleaved rounds of one run. Ratios are what counts.",
    )
    options.add_argument(
        "--only", action="append", choices=list(TITLES), metavar="GROUP", help=f"one of {', '.join(TITLES)}; repeatable"
    )
    options.add_argument("--quick", action="store_true", help="less of everything, in about a minute, with more noise")
    options.add_argument("--rounds", type=_at_least_one, help="how often each measurement is taken")
    options.add_argument("--output", type=Path, default=OUTPUT, help="the JSON file (build/bench.json)")
    return options


def _at_least_one(text: str) -> int:
    if int(text) < 1:
        raise ValueError
    return int(text)


def _groups(chosen: argparse.Namespace, stack: ExitStack) -> dict[str, Group]:
    """The groups as calls; the first that needs the topologies builds them for all."""
    quick = chosen.quick
    labs = functools.cache(lambda: stack.enter_context(sandwich.topologies()))
    traffic = sandwich.Effort(chosen.rounds or (3 if quick else 15), seconds=1)
    alone = connections.Effort(
        tuple(name for name in connections.SIZES if not quick or name != "8m"),
        chosen.rounds or (5 if quick else 15),
        packets=50_000 if quick else 300_000,
        openings=5_000 if quick else 20_000,
    )
    failures = health.Effort(chosen.rounds or (3 if quick else 9), seconds=3 if quick else 10, calls=9)
    clients = edits.Effort(chosen.rounds or (3 if quick else 15), calls=9)

    def sent(name: str, measure: Callable[..., list[Row]]) -> Group:
        def run(said: Callable[[str], object]) -> list[Row]:
            check_requirements()
            sandwich.check_tool(name)
            return measure(labs(), traffic, said)

        return run

    return {
        "table": functools.partial(connections.connections, alone),
        "edits": functools.partial(edits.edits, clients),
        "health": functools.partial(health.health, failures),
        "stream": sent("stream", sandwich.stream),
        "http": sent("http", sandwich.http),
    }
