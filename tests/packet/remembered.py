"""What the data plane remembers beside its connections, and what the model does, in the same words.

Templates, notes of fragments, pairs of related addresses. Must not be here: connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lasthop.dataplane import abi
from lasthop.dataplane.kernel import now_ns
from tests.packet.entries import NS
from tests.packet.model.memory import NoteKind
from tests.packet.worlds import AGE_S

if TYPE_CHECKING:
    from tests.packet.model import Model
    from tests.packet.model.memory import DatagramKey, Note
    from tests.packet.rig import Rig

_MAPPED = bytes(10) + b"\xff\xff"
#: Where in the key of a note its direction is, and what it is there if the sender's address is the lower one.
_DIRECTION, _FROM_LOW = 39, 2
#: A key, and what is remembered under it.
Facts = dict[tuple[Any, ...], tuple[Any, ...]]


def require_same(found: Facts, expected: Facts) -> None:
    """Fails with what differs alone."""
    differing = {key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)}
    assert not differing, [(key, found.get(key), "but the model says", expected.get(key)) for key in differing]


def _wide(address: bytes) -> bytes:
    return address if len(address) == 16 else _MAPPED + address


def _steps(seconds: float) -> int:
    """Times as the steps that the clock was moved by: what passes between two of them is no step."""
    return round(seconds / AGE_S)


def _port(value: Any) -> int:
    return int(value.byteswap())


def _rows(rig: Rig, table: str, key: str, value: str) -> list[tuple[Any, Any]]:
    keys, values = rig.maps[table].batch(abi.types().struct(key), abi.types().struct(value))
    return list(zip(keys, values, strict=True))


# --- persistence templates ------------------------------------------------------------------------------------------


def templates(rig: Rig) -> Facts:
    """(service, client) -> (real server, when it ends, live connections that it bound)."""
    now, publisher, found = now_ns(), rig.publisher, {}
    for key, value in _rows(rig, "templates", "template_key", "template"):
        box = publisher.boxes.name_of(int(publisher.servers["box"][int(value["server"])]))
        left = _steps((int(value["expires_ns"]) - now) / NS)
        which = publisher.services.name_of(int(key["service"])), key["client"].tobytes()
        found[which] = box, left, rig.children(value)
    return found


def expected_templates(model: Model) -> Facts:
    children = model.children()
    return {
        (label, _wide(client)): (each.server, _steps(each.expires - model.now), children[label, client])
        for (label, client), each in model.templates.items()
    }


# --- notes of fragments ---------------------------------------------------------------------------------------------


def notes(rig: Rig) -> Facts:
    """Which datagram -> (its age, where its fragments went, protocol and ports that it has, real server if none)."""
    now, found = now_ns(), {}
    for key, value in _rows(rig, "fragments", "connection_key", "fragment"):
        datagram = key.tobytes()[:_DIRECTION], bool(key["reserved"] == _FROM_LOW)
        hop = int(value["hop"])
        went = _steps((now - int(value["seen_ns"])) / NS), rig.hop_of(hop) if hop else None
        ports = _port(value["low_port"]), _port(value["high_port"])
        kind = NoteKind(int(value["kind"]))
        told = (int(value["ip_proto"]), *ports) if kind is NoteKind.FIRST else None
        found[datagram] = (kind, *went, told, _chosen(rig, value) if kind is NoteKind.EARLY else "")
    return found


def _chosen(rig: Rig, value: Any) -> str:
    """The real server that a first fragment is to be given."""
    nobody = abi.enum("server_id")["SERVER_NONE"]
    if int(value["server"]) == nobody:
        return ""
    return rig.publisher.boxes.name_of(int(rig.publisher.servers["box"][int(value["server"])]))


def expected_notes(model: Model, zones: dict[str, int]) -> Facts:
    return {_datagram(key, zones): _note(model, note) for key, note in model.notes.items()}


def _datagram(key: DatagramKey, zones: dict[str, int]) -> tuple[bytes, bool]:
    zone, source, destination, identification, protocol = key
    low, high = sorted((source, destination))
    number = identification.to_bytes(2 if len(low) == 4 else 4, "big").ljust(4, b"\0")
    return (
        _wide(low) + _wide(high) + number + zones[zone].to_bytes(2, "little") + bytes([max(protocol, 0)]),
        source == low,
    )


def _note(model: Model, note: Note) -> tuple[Any, ...]:
    hop = None if note.hop is None else (note.hop.leg, note.hop.mac.hex(":"))
    went = note.kind, _steps(model.now - note.made), hop
    if note.key is None:
        return (*went, None, note.server if note.kind is NoteKind.EARLY else "")
    _, protocol, (_, low), (_, high) = note.key
    return (*went, (protocol, low, high), "")


# --- pairs of addresses ---------------------------------------------------------------------------------------------


def pairs(rig: Rig) -> Facts:
    """(zone, addresses) -> protocol and ports of each connection that is noted for them, place by place."""
    return {
        (int(key["zone"]), key["low"].tobytes(), key["high"].tobytes()): tuple(
            _noted(int(each)) for each in value["noted"] if each
        )
        for key, value in _rows(rig, "pairs", "pair_key", "pair")
    }


def _noted(word: int) -> tuple[int, int, int]:
    """Protocol and ports, which are in network order."""
    ports = (word & 0xFFFF).to_bytes(2, "little"), (word >> 16 & 0xFFFF).to_bytes(2, "little")
    return word >> 32 & 0xFF, int.from_bytes(ports[0], "big"), int.from_bytes(ports[1], "big")


def expected_pairs(model: Model, zones: dict[str, int]) -> Facts:
    if not any(service.related for service in model.services.values()):
        return {}
    return {
        (zones[zone], *(_wide(each) for each in sorted(pair))): tuple(
            (protocol, low[1], high[1]) for _, protocol, low, high in noted
        )
        for (zone, pair), noted in model.pairs.items()
    }
