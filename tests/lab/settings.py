"""What tests set on the directors of a topology, on all of them alike, as operators do. No tests here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from lasthop.lab.topology import Topology

PATIENCE_S = 15

#: Connections that are over are forgotten a second later.
SHORT_TIMEOUTS = """
[timeouts]
tcp_fin_wait = 1
tcp_time_wait = 1
tcp_close = 1
tcp_close_wait = 1
tcp_last_ack = 1
udp = 1
"""


def add_to_files(lab: Topology, text: str) -> None:
    """Have every director's file end with `text`, and apply it."""
    for director in lab.directors.values():
        whole = director.file.read_text() + text
        director.file.write_text(whole)
        director.client.apply(str(director.file), whole)


def edit(lab: Topology, *edits: dict[str, Any]) -> None:
    """Make edits on every director."""
    for director in lab.directors.values():
        director.client.edit(list(edits))


def wait_empty(lab: Topology) -> None:
    """Wait until no director knows a connection, or counts one that is over for a real server."""

    def left() -> int:
        clients = [director.client for director in lab.directors.values()]
        counted = [each["active"] + each["inactive"] for client in clients for each in client.servers()]
        return sum(client.count_connections() for client in clients) + int(sum(counted))

    assert wait_until(lambda: left() == 0, timeout=PATIENCE_S), left()
