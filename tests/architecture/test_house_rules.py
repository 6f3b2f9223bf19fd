"""What pyproject.toml must keep true of itself."""

from __future__ import annotations

import re
import tokenize
import tomllib
from typing import TYPE_CHECKING

from lasthop import __version__
from tests.architecture.tree import ROOT, files, named

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "pyproject.toml").read_text()
PROJECT = tomllib.loads(TEXT)


def pins(name: str, requirements: list[str]) -> list[str]:
    return [each for each in requirements if each.startswith(f"{name}==")]


def test_a_checkout_builds_with_the_compiler_of_an_install() -> None:
    installed = pins("ziglang", PROJECT["build-system"]["requires"])
    assert len(installed) == 1, "pinned exactly"
    assert pins("ziglang", PROJECT["project"]["optional-dependencies"]["test"]) == installed


def test_the_compiler_is_no_runtime_dependency() -> None:
    assert not [each for each in PROJECT["project"]["dependencies"] if each.startswith(("ziglang", "hatchling"))]


def test_every_lint_exception_has_a_reason_beside_it() -> None:
    section = TEXT[TEXT.index("[tool.ruff.lint]") : TEXT.index("[tool.ruff.lint.flake8")]
    rules = [line for line in section.splitlines() if re.match(r'\s+"[A-Z]+[0-9]+",', line)]
    assert rules, "the scan finds exceptions at all"
    assert not [line for line in rules if not re.search(r",\s+# \w+", line)]


def comments(path: Path) -> list[tokenize.TokenInfo]:
    with path.open("rb") as source:
        return [token for token in tokenize.tokenize(source.readline) if token.type == tokenize.COMMENT]


def test_every_exception_in_the_code_names_its_rule_and_reason() -> None:
    exception = re.compile(r"#\s*(?:noqa|type:\s*ignore)")
    explained = re.compile(r"#\s*(?:noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|type:\s*ignore\[[a-z, -]+\])\W+\w")
    unexplained = [
        f"{named(path)}:{comment.start[0]} {comment.string}"
        for path in files(".py", folders=("bpf", "src", "bench"))
        for comment in comments(path)
        if exception.search(comment.string) and not explained.search(comment.string)
    ]
    assert not unexplained


def test_the_changelog_knows_the_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
