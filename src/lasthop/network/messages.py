"""The part of pyroute2 that lasthop uses, as types: pyroute2 ships none. No code here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A number, text or nested attributes, as the field has it.
Value = Any


class Message(Protocol):
    """A netlink message: fields of the fixed header by item, attributes by name, None where absent."""

    def __getitem__(self, field: str) -> Value:
        """A field of the fixed part."""

    def get_attr(self, name: str) -> Value:
        """The value of an attribute."""

    def get_nested(self, *names: str) -> Value:
        """The value of an attribute within attributes."""


class Netlink(Protocol):
    """`pyroute2.IPRoute`, run synchronously."""

    def link(self, command: str, **fields: object) -> Iterable[Message]:
        """RTM_GETLINK and its kin."""

    def addr(self, command: str, **fields: object) -> Iterable[Message]:
        """RTM_GETADDR and its kin."""

    def route(self, command: str, **fields: object) -> Iterable[Message]:
        """RTM_GETROUTE and its kin."""

    def neigh(self, command: str, **fields: object) -> Iterable[Message]:
        """RTM_GETNEIGH and its kin."""

    def close(self) -> None:
        """Close the socket."""
