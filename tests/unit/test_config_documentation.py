"""docs/configuration.md names what there is: keys, examples, time-outs and schedulers, with the values of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lasthop.config import parse
from lasthop.config.build import timeout_key
from lasthop.config.schema import SECTIONS, Section, known_keys
from lasthop.model.director import PROFILES, State
from lasthop.policy.schedulers import SCHEDULERS

ROOT = Path(__file__).parents[2]
DOCUMENTATION = (ROOT / "docs" / "configuration.md").read_text()
INLINE = {"api", "leg", "lvs", "table", "timeouts", "director", "pass", "service", "health", "real_server"}
"""Keys of tables: they are headings."""


@pytest.mark.parametrize("section", SECTIONS.values(), ids=lambda section: section.__name__)
def test_every_key_has_a_row(section: type[Section]) -> None:
    rows = " ".join(line.split("|")[1] for line in DOCUMENTATION.splitlines() if line.startswith("|"))
    missing = {key for key in known_keys(section) if f"`{key}`" not in rows}
    assert missing <= INLINE


def test_every_table_has_a_heading() -> None:
    for keys in SECTIONS:
        name = ".".join(keys)
        if keys and keys[-1] not in {"match", "persistence"}:
            assert re.search(rf"^## `\[+{re.escape(name)}\]+`$", DOCUMENTATION, re.MULTILINE)


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_time_outs_of_the_profiles_are_those_of_the_code(state: State) -> None:
    row = re.search(rf"^\| `{timeout_key(state)}` \| ([\d ]+) \| ([\d ]+) \|", DOCUMENTATION, re.MULTILINE)
    assert row
    written = [float(value.replace(" ", "")) for value in row.groups()]
    assert written == [PROFILES["firewall-safe"][state], PROFILES["lvs"][state]]


def test_every_scheduler_has_a_row() -> None:
    assert all(f"| `{name}` |" in DOCUMENTATION for name in SCHEDULERS)


def test_every_example_is_linked_and_every_link_leads_to_one() -> None:
    linked = set(re.findall(r"\(\.\./(examples/[\w-]+\.toml)\)", DOCUMENTATION))
    assert linked == {str(file.relative_to(ROOT)) for file in (ROOT / "examples").glob("*.toml")}


def test_the_smallest_file_works() -> None:
    smallest = re.search(r"```toml\n(\[director\].*?)```", DOCUMENTATION, re.DOTALL)
    assert smallest
    assert parse(smallest[1], "smallest.toml").director.name == "lb1"
