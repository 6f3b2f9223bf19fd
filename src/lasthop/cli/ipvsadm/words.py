"""A command line taken apart into options, as the library popt does it.

Owns the shapes of words: ``-L``, ``-Ln``, ``-t HOST``, ``-tHOST``, ``-t=HOST``, ``--weight 5``, ``--weight=5``, ``--``.
Which options there are is `options`'; what they mean is `request`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.cli.ipvsadm.options import ARGUMENT, NOTHING, OPTIONS, PERHAPS
from lasthop.cli.ipvsadm.refusal import REFUSED, IpvsadmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lasthop.cli.ipvsadm.options import Option

_LONG = {option.name: option for option in OPTIONS}
_SHORT = {option.letter: option for option in OPTIONS if option.letter}
_ALONE = {f"-{letter}": option for letter, option in _SHORT.items()} | {
    f"--{name}": option for name, option in _LONG.items()
}


class Words:
    """The words of a command line; iterating takes the options with their arguments off, in their order.

    Raises IpvsadmError for a word that is no option, and for a missing argument or one too many.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._next = 0
        self.rest: list[str] = []
        """Words that are no options, once all have been taken."""

    @property
    def last(self) -> str:
        """The last word that was looked at."""
        return self._words[self._next - 1]

    def __iter__(self) -> Iterator[tuple[Option, str | None]]:
        words = self._words
        while self._next < len(words):
            word = words[self._next]
            self._next += 1
            option = _ALONE.get(word)
            if option is not None:
                yield option, self._following(option) if option.takes else None
            elif not word.startswith("-") or word == "-":
                self.rest.append(word)
            elif word == "--":
                self.rest += words[self._next :]
                self._next = len(words)
            elif word.startswith("--"):
                yield self._assigned(word)
            else:
                yield from self._bundle(word)

    def _assigned(self, word: str) -> tuple[Option, str]:
        name, equals, argument = word[2:].partition("=")
        option = _LONG.get(name)
        if option is None or not equals:
            raise self._unreadable("unknown option")
        if option.takes == NOTHING:
            raise self._unreadable("option does not take an argument")
        return option, argument

    def _bundle(self, word: str) -> Iterator[tuple[Option, str | None]]:
        """``-Lnc``, and ``-w5`` at its end: what follows an option that takes an argument is the argument."""
        for place, letter in enumerate(word[1:], 2):
            option = _SHORT.get(letter)
            if option is None:
                raise self._unreadable("unknown option")
            following = word[place:]
            if option.takes and following:
                yield option, following.removeprefix("=")
                return
            if following.startswith("="):
                raise self._unreadable("option does not take an argument")
            yield option, self._following(option) if option.takes else None

    def _following(self, option: Option) -> str | None:
        """The next word as an argument; an optional one must not look like an option."""
        words = self._words
        if self._next == len(words):
            if option.takes == ARGUMENT:
                raise self._unreadable("missing argument")
            return None
        if option.takes == PERHAPS and words[self._next].startswith("-"):
            return None
        self._next += 1
        return words[self._next - 1]

    def _unreadable(self, why: str) -> IpvsadmError:
        return IpvsadmError(f"{self.last}: {why}", REFUSED)
