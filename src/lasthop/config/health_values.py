"""Single values of health checks: what is asked for, and what the answer must be.

As in `lasthop.config.values`, each function returns what the model holds, or raises the error that `wrong` makes.
"""

from __future__ import annotations

import re

from lasthop.config.values import text, wrong

_STATUSES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:\[\]-]{0,252})", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_LONGEST_NAME = 253


def url_path(value: object) -> str:
    """Return what a GET asks for: a path with its query (RFC 9112 section 3.2.1)."""
    given = text(value)
    if not given.startswith("/") or not given.isascii() or any(c.isspace() or not c.isprintable() for c in given):
        raise wrong("is no path of a URL", 'begin it with "/", and write other characters than ASCII as %XX')
    return given


def host_name(value: object) -> str:
    """Return a host as a Host header has it."""
    given = text(value)
    if not _HOST.fullmatch(given):
        raise wrong("is no host", 'write a name, "www.example.com", or an address')
    return given


def domain_name(value: object) -> str:
    """Return a name of the DNS; "." is the root's."""
    given = text(value)
    labels = given.removesuffix(".").split(".") if given != "." else []
    if len(given) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise wrong("is no name of the DNS", 'write "www.example.com", or "." for the root')
    return given


def statuses(value: object) -> tuple[int, int]:
    """Return a range of HTTP status codes: from 200, "200" or "200-299"."""
    given = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    parts = _STATUSES.fullmatch(given)
    if parts is None:
        raise wrong("is no HTTP status", 'write 200 for one or "200-299" for a range')
    first, last = int(parts[1]), int(parts[2] or parts[1])
    if first > last:
        raise wrong("is a range that ends before it begins", f'write "{last}-{first}"')
    return first, last


def pattern(value: object) -> str:
    """Return a regular expression that Python's re takes."""
    given = text(value)
    try:
        re.compile(given)
    except re.error as error:
        raise wrong(
            f"is no regular expression: {error}", 'put "\\\\" before characters that stand for themselves'
        ) from None
    return given
