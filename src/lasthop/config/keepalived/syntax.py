"""The grammar of keepalived.conf(5): words, quotes, comments, blocks.

Owns reading. What the words mean is in the modules beside this one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lasthop.errors import ConfigurationError, Mistake

#: A quoted text, a brace, or a word. A comment begins with ``#`` or ``!`` where a word could.
_TOKEN = re.compile(r'"(?P<quoted>[^"]*)"|(?P<brace>[{}])|(?P<comment>[#!].*)|(?P<word>[^\s{}"]+)')


@dataclass(slots=True)
class Entry:
    """One line: a keyword with its parameters, and what stands in braces behind it."""

    line: int
    words: list[str]
    inner: list[Entry] | None = None
    """None: it has no braces."""

    @property
    def keyword(self) -> str:
        """Its first word."""
        return self.words[0] if self.words else ""

    @property
    def rest(self) -> list[str]:
        """The words behind the first."""
        return self.words[1:]

    def __str__(self) -> str:
        """As it is written, without what is in the braces."""
        return " ".join(self.words)


@dataclass(slots=True)
class _Open:
    line: int
    entries: list[Entry] = field(default_factory=list)


def parse(text: str, file: str) -> list[Entry]:
    """Return the top level of a file. Raises ConfigurationError where braces do not match."""
    stack = [_Open(0)]
    for number, line in enumerate(text.splitlines(), 1):
        current: Entry | None = None
        for token in _TOKEN.finditer(line):
            if token["comment"]:
                break
            if token["brace"] == "{":
                opened = current or _last_without_braces(stack[-1], file, number)
                opened.inner = []
                stack.append(_Open(number, opened.inner))
                current = None
            elif token["brace"] == "}":
                if len(stack) == 1:
                    raise _wrong(file, number, "closes what was not opened", "remove it")
                stack.pop()
                current = None
            else:
                word = token["word"] if token["word"] is not None else token["quoted"]
                if current is None:
                    current = Entry(number, [])
                    stack[-1].entries.append(current)
                current.words.append(word)
    if len(stack) > 1:
        raise _wrong(file, stack[-1].line, "is never closed", "add '}' where the block ends")
    return stack[0].entries


def _last_without_braces(block: _Open, file: str, number: int) -> Entry:
    """The entry that a brace on a line of its own belongs to."""
    if not block.entries or block.entries[-1].inner is not None:
        raise _wrong(file, number, "opens a block without a name", "write its keyword before it")
    return block.entries[-1]


def _wrong(file: str, number: int, problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(file, [Mistake(f"line {number}", "brace", problem, remedy)])
