"""Text as groff's man macros take it (groff_man(7)).

Owns quoting and the few macros that the man pages use. Must not be here: what the pages say.
"""

from __future__ import annotations

import re

_SPECIAL = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}


def quoted(text: str) -> str:
    """`text` as it shall be read: no character of it is a request or an escape."""
    marked = "".join(_SPECIAL.get(each, each if each.isascii() else rf"\[u{ord(each):04X}]") for each in text)
    return "\n".join(rf"\&{line}" if line.startswith(".") else line for line in marked.split("\n"))


def bold(text: str) -> str:
    """`text` in bold."""
    return rf"\fB{quoted(text)}\fR"


def title(name: str, section: int, date: str, version: str) -> list[str]:
    """The first lines of a page."""
    return [f'.TH "{quoted(name).upper()}" {section} "{date}" "lasthop {version}" "lasthop"']


def heading(text: str) -> list[str]:
    """A section."""
    return [f".SH {_argument(text)}"]


def subheading(text: str) -> list[str]:
    """A section within a section."""
    return [f".SS {_argument(text)}"]


def paragraph(text: str) -> list[str]:
    """A paragraph of text that is quoted already."""
    return [".PP", text]


def item(tag: str, text: str) -> list[str]:
    """A paragraph with a tag; both are quoted already."""
    return [".TP", tag, text]


def verbatim(text: str) -> list[str]:
    """Lines that are left as they are."""
    return [".PP", ".in +4n", ".EX", *(quoted(line) for line in text.rstrip("\n").split("\n")), ".EE", ".in"]


def indented(lines: list[str]) -> list[str]:
    """`lines`, further in."""
    return [".RS", *lines, ".RE"]


def words(text: str) -> str:
    """Prose, quoted, with `code` in bold."""
    pieces = re.split(r"`([^`]+)`", text)
    return "".join(bold(piece) if number % 2 else quoted(piece) for number, piece in enumerate(pieces))


def _argument(text: str) -> str:
    return '"' + quoted(text).replace('"', r"\(dq") + '"'
