"""`ipvsadm -L -c`: connections and persistence templates, as LVS lists them.

Owns the lines. Connections are read as they come, one report a line: there may be millions.
"""

from __future__ import annotations

import io
import json
import socket
from typing import TYPE_CHECKING, Any

from lasthop.cli.ipvsadm.rows import label_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import ReadableBuffer

    from lasthop.api.client import Client
    from lasthop.cli.ipvsadm.names import Names

Report = dict[str, Any]
TITLE = "IPVS connection entries"
COLUMNS = "pro expire state       source             virtual            destination"
#: With --persistent-conn. Persistence engines have the last two; lasthop has none of them.
ENGINE_COLUMNS = f"{COLUMNS}        pe name          pe_data"
_MINUTE_S = 60
#: LVS's names of SCTP's states (sctp_state_name_table in ip_vs_proto_sctp.c) that are not those of lasthop.
_SCTP_STATES = {
    "COOKIE_SENT": "C-SENT",
    "COOKIE_REPLIED": "C-REPLIED",
    "COOKIE_WAIT": "C-WAIT",
    "COOKIE_ECHOED": "C-ECHOED",
    "SHUTDOWN_SENT": "S-SENT",
    "SHUTDOWN_RECEIVED": "S-RECEIVED",
    "SHUTDOWN_ACK_SENT": "S-ACK-SENT",
}


class ConnectionList:
    """The entries of one director's table as lines."""

    def __init__(self, client: Client, names: Names) -> None:
        self._client = client
        self._names = names
        self._templates = client.templates()
        self._addresses: dict[tuple[str, str], str] = {}
        """By service and name, and by the name alone."""
        for server in client.servers():
            for service in ("", server["service"]):
                self._addresses[service, server["name"]] = server["address"]
        self._hops: dict[tuple[str, str, int | None], str] | None = None

    def print_to(self, write: Callable[[str], object]) -> None:
        """Write every entry, templates last."""
        output = _Reports(lambda reports: write("".join(map(self._connection, reports))))
        self._client.copy("connections", output)
        write("".join(map(self._template, self._templates)))

    def _connection(self, report: Report) -> str:
        protocol = report["protocol"]
        port = report["destination_port"]
        hop = report["forward_hop"]
        address = (
            self._address(report["service"], report["real_server"] or hop["name"])
            or self._hop_address((hop["leg"], hop["mac"], hop["vlan"]))
            or report["destination"]
        )
        return self._line(
            protocol,
            report["expires_s"],
            _state(report["state"]),
            (report["source"], report["source_port"]),
            (report["destination"], port),
            (address, port),
        )

    def _template(self, report: Report) -> str:
        """A template has no port of the client, and a mark stands where an address would, of the client's family."""
        mark, _, protocol, address, port = label_parts(report["service"])
        if mark:
            protocol, packed = "ip", mark.to_bytes(4, "big")
            ipv6 = ":" in report["client"]
            address = socket.inet_ntop(socket.AF_INET6, packed + bytes(12)) if ipv6 else socket.inet_ntoa(packed)
        return self._line(
            protocol,
            report["expires_s"],
            "ASSURED" if report["assured"] else "NONE",
            (report["client"], 0),
            (address, port),
            (self._address(report["service"], report["real_server"]) or report["real_server"], port),
        )

    def _line(
        self,
        protocol: str,
        expires_s: float,
        state: str,
        source: tuple[str, int],
        virtual: tuple[str, int],
        destination: tuple[str, int],
    ) -> str:
        minutes, seconds = divmod(max(0, int(expires_s)), _MINUTE_S)
        known = protocol if protocol in {"tcp", "udp", "sctp"} else ""
        shown = [self._names.shown(address, port, known) for address, port in (source, virtual, destination)]
        expire = f"{minutes:02}:{seconds:02}"
        return f"{_protocol(protocol):<3} {expire:<6} {state:<11} {shown[0]:<18} {shown[1]:<18} {shown[2]}\n"

    def _address(self, service: str, server: str) -> str:
        """The address of a real server; one that was removed may have its address for a name."""
        return self._addresses.get((service, server)) or self._addresses.get(("", server)) or _named_by_address(server)

    def _hop_address(self, hop: tuple[str, str, int | None]) -> str:
        if self._hops is None:
            self._hops = {(each["leg"], each["mac"], each["vlan"]): each["address"] for each in self._client.hops()}
        return self._hops.get(hop, "")


def _protocol(name: str) -> str:
    """LVS's name of a protocol (ip_vs_proto_name), as far as it has one."""
    if name.isdecimal():
        return f"IP_{name}"
    return "ICMPv6" if name == "icmpv6" else name.upper()


def _state(name: str) -> str:
    """LVS's name of a state."""
    bare = name.removeprefix("SCTP_")
    return _SCTP_STATES.get(bare, bare)


def _named_by_address(server: str) -> str:
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, server))
    except OSError:
        return ""


class _Reports(io.BytesIO):
    """Takes a JSON list in which each report has a line of its own, and hands the reports on as they come."""

    def __init__(self, take: Callable[[Iterator[Report]], object]) -> None:
        super().__init__()
        self._take = take
        self._begun = b""

    def write(self, portion: ReadableBuffer, /) -> int:
        *whole, self._begun = (self._begun + bytes(portion)).split(b"\n")
        self._take(json.loads(line.rstrip(b",")) for line in whole if line.startswith(b"{"))
        return memoryview(portion).nbytes
