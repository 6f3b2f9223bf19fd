"""From a file to a configuration.

Owns the steps and their order: read, TOML, schema and cross checks, model. Where there is any mistake, all of them are
reported and there is no configuration.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lasthop.config import complaint
from lasthop.config.build import build_configuration
from lasthop.config.crosscheck import cross_check
from lasthop.config.document import report
from lasthop.config.schema import Document
from lasthop.errors import ConfigurationError, Mistake
from lasthop.model.director import DEFAULT_CONNECTIONS

if TYPE_CHECKING:
    from lasthop.model.configuration import Configuration

#: How tomllib ends its messages (before Python 3.14 they hold line and column as text only).
_WHERE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


def load(path: str | Path, connections: int = DEFAULT_CONNECTIONS) -> Configuration:
    """Return the configuration in the file at `path`. Raises ConfigurationError with all mistakes in it.

    `connections` is the size of the table if the file does not say.
    """
    return parse(read(path), str(path), connections)


def read(path: str | Path) -> str:
    """Return the text of the file at `path`. Raises ConfigurationError where there is none."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _one_mistake(path, "file", f"can't be read: {reason}", "check its path and permissions") from None
    except ValueError:
        raise _one_mistake(path, "file", "can't be read: its path holds a NUL character", "check its path") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _one_mistake(path, f"line {line}", "is not UTF-8", "save the file as UTF-8 text") from None


def parse(text: str, file_name: str, connections: int = DEFAULT_CONNECTIONS) -> Configuration:
    """Return the configuration in `text`; `file_name` is what errors call it, `connections` the table's default.

    Raises ConfigurationError with all mistakes in it, in file order: those of TOML's syntax alone (the first only), or
    else those of single keys and those of keys that contradict each other together.
    """
    try:
        raw = tomllib.loads(text)
    except RecursionError:
        raise _one_mistake(file_name, "file", "is nested too deep", "write tables with [brackets]") from None
    except ValueError as error:
        raise _syntax_error(file_name, text, str(error)) from None
    findings = list(cross_check(raw))
    try:
        document = Document.model_validate(raw)
    except ValidationError as error:
        raise ConfigurationError(file_name, report([*complaint.findings(error), *findings], raw)) from None
    if findings:
        raise ConfigurationError(file_name, report(findings, raw))
    return build_configuration(document, connections)


def _syntax_error(file_name: str, text: str, message: str) -> ConfigurationError:
    lines = text.splitlines() or [""]
    where = _WHERE.search(message)
    cause = _WHERE.sub("", message)
    cause = cause[:1].lower() + cause[1:]
    if cause.startswith(("cannot overwrite", "cannot declare")):
        cause += " (the key or table was given before)"
    if where is None:
        return _one_mistake(file_name, "file", f"is not TOML: {cause}", "correct it")
    at_end = where["line"] is None
    line = len(lines) if at_end else int(where["line"])
    column = len(lines[-1]) + 1 if at_end else int(where["column"])
    shown = lines[min(line, len(lines)) - 1].strip()
    quoted = f" in: {shown}" if shown else ""
    return _one_mistake(
        file_name,
        f"line {line}, column {column}",
        f"is not TOML: {cause}{quoted}",
        "correct this line or the one before",
    )


def _one_mistake(file: str | Path, key: str, problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(str(file), [Mistake(key, "", problem, remedy)])
