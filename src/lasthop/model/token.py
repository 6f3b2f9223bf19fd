"""Tokens: what a caller over TCP is known by, and the file that lists them.

Owns the file's format. It holds what tokens hash to, so that who reads it can use none of them. Reading the file is
`lasthop.api.tokens`'.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from lasthop.model.access import Role

#: Tokens begin so, for whoever looks for secrets where none should be.
PREFIX = "lasthop_"
BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}", re.ASCII)
_HASHED = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
_ROLES = {role.word: role for role in Role}
_SHAPE = "write NAME reader|writer sha256:HEX, as `lasthop token` prints it"


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the file."""

    name: str
    role: Role
    digest: bytes
    """SHA-256 of the token. It is random and long: no salt or slow hash makes it harder to guess."""

    @property
    def line(self) -> str:
        """The line for the file."""
        return f"{self.name} {self.role.word} sha256:{self.digest.hex()}"


class MalformedTokensError(ValueError):
    """A file of tokens that cannot be used: what is wrong, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


def made(name: str, role: Role) -> tuple[str, Token]:
    """A new token, and what the file has of it."""
    token = PREFIX + secrets.token_urlsafe(BYTES)
    return token, Token(name, role, digest(token))


def digest(token: str) -> bytes:
    """What the file has of `token`."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def whose(given: str, tokens: tuple[Token, ...]) -> Token | None:
    """The one of `tokens` that is `given`, in a time that does not tell how much of it was right."""
    given_digest, found = digest(given), None
    for token in tokens:
        if hmac.compare_digest(token.digest, given_digest):
            found = token
    return found


def parsed(text: str) -> tuple[Token, ...]:
    """The tokens of a file: one a line, ``#`` begins a comment. Raises MalformedTokensError."""
    tokens: dict[str, Token] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        token = _of_line(words, number)
        if token.name in tokens:
            raise MalformedTokensError(
                f"line {number}: '{token.name}' is the name of another token", "give each a name of its own"
            )
        tokens[token.name] = token
    if not tokens:
        raise MalformedTokensError("it has no token", "make one: lasthop token NAME, and put the line it prints there")
    return tuple(tokens.values())


def _of_line(words: list[str], number: int) -> Token:
    """Never quotes what stands there: somebody may have put the token itself into the file."""
    if len(words) != 3:  # noqa: PLR2004 - name, role and hash
        raise MalformedTokensError(f"line {number} has {len(words)} words, not three", _SHAPE)
    name, role, hashed = words
    if not NAME.fullmatch(name):
        raise MalformedTokensError(
            f"line {number}: its first word is no name", "use letters, digits, '_', '.', '@', '-'"
        )
    if role not in _ROLES:
        raise MalformedTokensError(f"line {number}: its second word is no role", "write reader or writer")
    found = _HASHED.fullmatch(hashed)
    if found is None:
        raise MalformedTokensError(f"line {number}: its third word is not sha256: and 64 hexadecimal digits", _SHAPE)
    return Token(name, _ROLES[role], bytes.fromhex(found[1]))
