"""Man pages and completions: made from the command line and the documents, and clean."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING

import click
import pytest

from distribution import completions, file_page, man, roff
from lasthop.__main__ import COMMANDS, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return man.write(tmp_path_factory.mktemp("man"))


def shown(page: Path) -> str:
    """A page as a terminal shows it, in one line."""
    if shutil.which("groff") is None:
        pytest.skip("there is no groff: apt-get install -y groff-base")
    command = ["groff", "-man", "-Tutf8", "-P-cbou", "-rLL=200n", "-k", str(page)]
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        within = click.Context(command, info_name=name, parent=context)
        yield within.command_path, command
        if isinstance(command, click.Group):
            yield from commands(command, within)


def test_every_command_and_option_is_in_the_man_page(pages: list[Path]) -> None:
    text = shown(pages[0])
    for path, command in commands(program, click.Context(program, info_name="lasthop")):
        assert f" {path} " in text, path
        for option in (each for each in command.params if isinstance(each, click.Option)):
            assert all(name in text for name in option.opts), (path, option.opts)
    assert all(name in text for name in COMMANDS)


def test_every_key_of_the_configuration_is_in_its_man_page(pages: list[Path]) -> None:
    text = shown(pages[1])
    example = tomllib.loads((man.ROOT / "examples" / "lb1.toml").read_text())
    assert all(f"[{table}]" in text for table in ("director", "table", "timeouts", "[leg]"))
    assert all(key in text for leg in example["leg"] for key in leg)
    assert "](" not in text


def test_groff_has_nothing_to_say_about_the_man_pages(pages: list[Path]) -> None:
    if shutil.which("groff") is None:
        pytest.skip("there is no groff: apt-get install -y groff-base")
    for page in pages:
        said = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", str(page)], capture_output=True, check=True)
        assert (said.stdout, said.stderr) == (b"", b"")


def test_the_same_source_makes_the_same_pages(
    pages: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [path.read_text() for path in man.write(tmp_path)] == [path.read_text() for path in pages]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert '"1970-01-02"' in man.write(tmp_path)[0].read_text()


def test_no_character_of_a_text_is_taken_for_a_request_or_an_escape() -> None:
    assert roff.quoted(".TP\n'br a-b \\n é") == "\\&.TP\n\\(aqbr a\\-b \\en \\[u00E9]"


def test_tables_become_paragraphs_with_a_tag() -> None:
    table = "| key | type | default | meaning |\n|---|---|---|---|\n| `name` | name | required | see [below](#x) |\n"
    assert "\n.TP\n\\fBname\\fR\nname; required. see below\n" in file_page.page(table, "1", "2000-01-01")


def test_each_shell_has_its_script_where_it_looks(tmp_path: Path) -> None:
    written = completions.write(tmp_path)
    assert [path.name for path in written] == ["lasthop", "_lasthop", "lasthop.fish"]
    assert all(re.search(r"_LASTHOP_COMPLETE=(bash|zsh|fish)_complete", path.read_text()) for path in written)


@pytest.mark.parametrize(("number", "shell"), [(0, "bash"), (1, "zsh"), (2, "fish")])
def test_each_script_is_one_that_its_shell_can_read(number: int, shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}: apt-get install -y {shell}")
    script = completions.write(tmp_path)[number]
    subprocess.run([shell, "-n", str(script)], check=True, capture_output=True, timeout=30)
