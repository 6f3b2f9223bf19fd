"""One word per thing, and names that say what they name."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.architecture.tree import files, named, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: BPF_OBJ_NAME_LEN of linux/bpf.h less the final zero: the kernel cuts what is longer.
BPF_NAME_LENGTH = 15
SENTENCE_WORDS = 4

#: File names that say nothing about what is inside.
EMPTY_WORDS = {"common", "handler", "handlers", "helper", "helpers", "manager", "misc", "util", "utils"}
#: Words that docs/GLOSSARY.md has another word for.
OTHER_WORDS = {"backend", "handler", "manager", "member", "node", "pool", "session", "sticky", "utils", "vip"}

MAP = re.compile(r'^\w+_MAP\((\w+)|\}\s*(\w+)\s+SEC\("\.maps"\)', re.MULTILINE)
PROGRAM = re.compile(r'^SEC\("(?!\.maps|license)[^"]+"\)\s+(?:static\s+)?\w+\s+\*?(\w+)\(', re.MULTILINE)
C_NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"[^"\n]*"|^#include[^\n]*', re.DOTALL | re.MULTILINE)


def words(name: str) -> set[str]:
    """The words of an identifier, in either spelling: ``RealServer`` and ``real_server``."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def python_names(path: Path) -> Iterator[str]:
    """What a Python file itself names: functions, classes, parameters, variables."""
    for found in ast.walk(parsed(path)):
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield found.name
        elif isinstance(found, ast.arg):
            yield found.arg
        elif isinstance(found, ast.Name) and isinstance(found.ctx, ast.Store):
            yield found.id


def all_tests() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in files(".py", folders=("tests",)):
        if path.name.startswith("test_"):
            for found in ast.walk(parsed(path)):
                if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) and found.name.startswith("test_"):
                    yield path, found


def test_file_names_say_what_is_inside() -> None:
    assert not [named(path) for path in files(".py", ".c", ".h") if words(path.name.split(".")[0]) & EMPTY_WORDS]


def test_python_uses_the_words_of_the_glossary() -> None:
    strangers = {
        f"{named(path)}: {name}"
        for path in files(".py", folders=("src", "bench"))
        for name in python_names(path)
        if words(name) & OTHER_WORDS
    }
    assert not strangers


def test_c_uses_the_words_of_the_glossary() -> None:
    strangers = {
        f"{named(path)}: {name}"
        for path in files(".c", ".h")
        for name in re.findall(r"\w+", C_NOISE.sub(" ", path.read_text()))
        if words(name) & OTHER_WORDS
    }
    assert not strangers


def test_the_kernel_shows_map_and_program_names_whole() -> None:
    text = "\n".join(path.read_text() for path in files(".c", ".h", folders=("bpf",)))
    maps = {first or second for first, second in MAP.findall(text)}
    programs = set(PROGRAM.findall(text))
    assert maps, "the scan finds maps at all"
    assert programs, "the scan finds programs at all"
    assert not [name for name in maps | programs if len(name) > BPF_NAME_LENGTH]


def test_every_module_says_what_it_owns() -> None:
    assert not [named(path) for path in files(".py", folders=("src",)) if not ast.get_docstring(parsed(path))]


def test_every_test_is_named_by_a_sentence() -> None:
    short = [
        f"{named(path)}: {found.name}" for path, found in all_tests() if len(found.name.split("_")) - 1 < SENTENCE_WORDS
    ]
    assert not short


def test_no_test_sleeps_instead_of_waiting() -> None:
    sleepers = [
        f"{named(path)}:{found.lineno}"
        for path in files(".py", folders=("tests",))
        for found in ast.walk(parsed(path))
        if isinstance(found, ast.Call) and ast.unparse(found.func).split(".")[-1] == "sleep"
    ]
    assert not sleepers
