"""Documents lead somewhere, and speak of what is in the repository."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.architecture.tree import ROOT, named

if TYPE_CHECKING:
    from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
ROW_PATH = re.compile(r"`((?:bpf|src|tests|bench|docs|examples|packaging|\.ci)/[\w./-]*)`")


def documents() -> list[Path]:
    return sorted(
        [
            *ROOT.glob("*.md"),
            *(path for folder in ("bpf", "docs", "bench", "examples") for path in (ROOT / folder).rglob("*.md")),
        ]
    )


def test_every_link_in_the_documents_leads_somewhere() -> None:
    lost = [
        f"{named(document)}: {link}"
        for document in documents()
        for link in LINK.findall(CODE.sub("", document.read_text()))
        if not (document.parent / link).exists()
    ]
    assert not lost


def test_the_documents_speak_of_this_repository_alone() -> None:
    assert not [named(document) for document in documents() if re.search(r"\.\./shared|/work/", document.read_text())]


def test_the_places_to_change_things_exist() -> None:
    places = ROW_PATH.findall((ROOT / "CONTRIBUTING.md").read_text())
    assert places, "the scan finds places at all"
    assert not [place for place in places if not (ROOT / place).exists()]


def test_the_documents_a_newcomer_looks_for_are_there() -> None:
    expected = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/ARCHITECTURE.md", "docs/GLOSSARY.md")
    assert not [name for name in expected if not (ROOT / name).is_file()]


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named_targets = {
        (named(document), target)
        for document in documents()
        for target in re.findall(r"(?:`|^|\$ |sudo )make ([a-z-]+)", document.read_text(), re.MULTILINE)
    }
    assert not {(where, target) for where, target in named_targets if target not in targets}
