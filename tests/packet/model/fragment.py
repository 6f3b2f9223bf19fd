"""Fragments: the notes that first ones make, and where later ones go.

Must not be here: how the real server of an early one is chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.packet.model.memory import NOTE_S, Note, NoteKind

if TYPE_CHECKING:
    from tests.packet.model.memory import DatagramKey, Memory
    from tests.packet.model.nouns import Hop, Key, Packet

#: The family whose fragments have no protocol in their key: IPv6.
_WITHOUT_PROTOCOL = 6
NO_PROTOCOL = -1


def datagram(packet: Packet, zone: str) -> DatagramKey | None:
    """Which datagram a packet is a fragment of; None: it is whole."""
    if packet.fragment is None:
        return None
    source, destination, protocol = packet.outer
    which = NO_PROTOCOL if packet.family == _WITHOUT_PROTOCOL else protocol
    return zone, source, destination, packet.fragment.identification, which


def quoted_datagram(packet: Packet, zone: str) -> DatagramKey | None:
    """Which datagram an error is about a later fragment of: on its way it had the addresses the other way round."""
    if packet.quoted is None or not packet.quoted.later:
        return None
    which = NO_PROTOCOL if packet.family == _WITHOUT_PROTOCOL else packet.protocol
    return zone, packet.destination, packet.source, packet.quoted.identification, which


def noted(memory: Memory, key: DatagramKey | None) -> Note | None:
    """The note of a datagram that is young enough."""
    found = memory.notes.get(key) if key is not None else None
    return None if found is None or memory.now - found.made > NOTE_S else found


def note_first(
    memory: Memory, key: DatagramKey | None, hop: Hop, connection: Key | None, to: tuple[str, str] = ("", "")
) -> None:
    """A first fragment went to `hop`; `to` is the real server and its service, if it was chosen for it."""
    if key is not None:
        memory.notes[key] = Note(memory.now, hop, connection, *to)


def note_early(memory: Memory, key: DatagramKey, hop: Hop, to: tuple[str, str]) -> None:
    """A later fragment went to a real server of a service before its first one came."""
    memory.notes[key] = Note(memory.now, hop, None, *to, NoteKind.EARLY)


def note_error(memory: Memory, key: DatagramKey | None, hop: Hop) -> None:
    """The first fragment of an ICMP error went to `hop`."""
    if key is not None:
        memory.notes[key] = Note(memory.now, hop, None, "", "", NoteKind.ERROR)


def note_passed(memory: Memory, key: DatagramKey | None) -> None:
    """A pass rule left a first fragment to the kernel."""
    if key is not None:
        memory.notes[key] = Note(memory.now, None, None, "", "", NoteKind.PASSED)


def early_choice(memory: Memory, key: DatagramKey | None, service: str) -> str:
    """The real server that a datagram's first fragment is to be given by a service, empty if none."""
    found = noted(memory, key)
    if found is None or found.kind is not NoteKind.EARLY or found.service != service:
        return ""
    return found.server
