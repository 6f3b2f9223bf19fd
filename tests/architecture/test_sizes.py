"""No god files: lengths that make a reader's day are held here."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.architecture.tree import ROOT, files, named, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_LINES = 400
PROGRAM_LINES = 150
PYTHON_FUNCTION_LINES = 50
C_FUNCTION_LINES = 60
PUBLIC_METHODS = 15


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def c_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Signature's last line and length in lines of each function, by the kernel style's braces in column one."""
    signature, opened = "", None
    for number, line in enumerate(path.read_text().splitlines()):
        if line == "{":
            opened = number
        elif line.startswith("}") and opened is not None:
            yield signature, number - opened + 2
            opened = None
        elif opened is None and line.strip():
            signature = line.strip()


def test_no_source_file_is_longer_than_400_lines() -> None:
    long = {named(path): lines(path) for path in files(".py", ".c", ".h") if lines(path) > FILE_LINES}
    assert not long


def test_the_packet_path_is_a_table_of_contents() -> None:
    assert lines(ROOT / "bpf" / "lasthop.bpf.c") <= PROGRAM_LINES


def test_no_python_function_is_longer_than_50_lines() -> None:
    long = {
        f"{named(path)}:{found.lineno} {found.name}": length
        for path in files(".py")
        for found in ast.walk(parsed(path))
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (found.end_lineno or found.lineno) - found.lineno + 1) > PYTHON_FUNCTION_LINES
    }
    assert not long


def test_no_c_function_is_longer_than_60_lines() -> None:
    measured = [(path, signature, length) for path in files(".c", ".h") for signature, length in c_functions(path)]
    assert measured, "the scan finds functions at all"
    long = {f"{named(path)}: {signature}": length for path, signature, length in measured if length > C_FUNCTION_LINES}
    assert not long


def test_no_class_has_more_than_15_public_methods() -> None:
    wide = {
        f"{named(path)}:{found.lineno} {found.name}": len(methods)
        for path in files(".py")
        for found in ast.walk(parsed(path))
        if isinstance(found, ast.ClassDef)
        and len(
            methods := [
                each
                for each in found.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not each.name.startswith("_")
            ]
        )
        > PUBLIC_METHODS
    }
    assert not wide
