"""A look at the kernel's data plane packet by packet: explanations, captured frames, asymmetric responses, in names.

Owns the reading of the maps record, samples and captures. How the explaining program is loaded and run is
`lasthop.dataplane.explainer`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.clock import started_ns
from lasthop.dataplane.connection_report import reports
from lasthop.dataplane.explainer import Explainer
from lasthop.dataplane.finding import Finding, Read, WayOut
from lasthop.dataplane.frames import LONGEST, with_tags
from lasthop.dataplane.reasons import verdict_of
from lasthop.dataplane.ring import Ring
from lasthop.errors import DataPlaneError
from lasthop.model.asymmetry import AsymmetricResponse, AsymmetryReport
from lasthop.model.capture import CapturedFrame
from lasthop.model.connection import HopName
from lasthop.model.protocol import protocol_name
from lasthop.model.template import TemplateReport

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from lasthop.dataplane.connection_report import Names
    from lasthop.dataplane.loader import Loaded
    from lasthop.dataplane.publisher import Publisher
    from lasthop.model.connection import ConnectionReport
    from lasthop.model.real_server import Address

_NS = 1_000_000_000
_IPV6_BITS = 128


class KernelInspection:
    """See `interface.Inspection`."""

    def __init__(
        self,
        loaded: Loaded,
        publisher: Publisher,
        names: Callable[[], Names],
        now_ns: Callable[[], int],
        capture_legs: Callable[[frozenset[str]], None],
    ) -> None:
        """`names` gives names to the ids of now; `capture_legs` sets the legs whose frames are captured."""
        types = abi.types()
        self._maps = loaded.maps
        self._publisher = publisher
        self._names = names
        self._now_ns = now_ns
        self._capture_legs = capture_legs
        self._explainer = Explainer(loaded)
        self._table: NDArray[Any] = loaded.maps["table"].view(types.struct("table"))
        self._samples: NDArray[Any] = loaded.maps["samples"].view(types.struct("sample"))
        self._ring: Ring | None = None
        self._capturing = False
        self._captured = types.struct("captured")
        self._reasons = {number: name.lower() for name, number in abi.enum("reason").items()}
        self._fragments = _words("fragment_kind", "FRAGMENT_", none="NONE")
        self._chosen_by = _chosen_by()

    # Explanations.

    def explain(self, leg: str, frame: bytes, *, tagged: bool) -> Finding:
        """See Inspection.explain."""
        leg_id = self._publisher.leg_names.get(leg)
        if leg_id is None:
            raise DataPlaneError(f"can't explain a frame on leg {leg!r}: it is not attached", "see `lasthop legs`")
        entry = self._publisher.legs[leg_id]
        if not tagged:
            frame = with_tags(frame, _tags(entry))
        if len(frame) > LONGEST:
            raise DataPlaneError(
                f"can't explain a frame of {len(frame)} bytes: the kernel tries frames of at most {LONGEST}",
                "explain a shorter one of the same connection",
            )
        record = self._explainer.ask(frame, int(entry["ifindex"]))
        return self._finding(record[0])

    def _finding(self, record: Any) -> Finding:  # noqa: ANN401 -- a record of numpy
        names = self._names()
        read = self._read(record)
        service_id, server_id = int(record["service"]), int(record["server"])
        connection = self._connection(record, names)
        last_hop: HopName | None
        if connection is not None and not record["ended"]:
            service, server = connection.service, connection.real_server
            last_hop, known = connection.last_hop, True
        else:
            service = names.service(service_id) if service_id < abi.limit("MAX_SERVICES") else ""
            server = names.server(server_id) if server_id != abi.enum("server_id")["SERVER_NONE"] else ""
            last_hop, known = self._last_hop(record, names)
        return Finding(
            reason=self._reasons[int(record["reason"])],
            came_from=self._place(int(record["source_target"])),
            read=read,
            rule=int(record["rule"]) - 1 if record["rule"] else None,
            service=service,
            real_server=server,
            chosen_by=self._chosen_by.get(int(record["chosen_by"]), ""),
            connection=connection,
            ended=bool(record["ended"]),
            left_out=_left_out(record),
            last_hop=last_hop,
            last_hop_known=known,
            out=self._way_out(record),
            turn=self._turn(service_id),
            template=self._template(service_id, read),
            local=self._local(service_id, read, names),
        )

    def _read(self, record: Any) -> Read | None:  # noqa: ANN401 -- a record of numpy
        key = record["key"]
        low, high = key["low"].tobytes(), key["high"].tobytes()
        if not any(low) or not any(high):
            return None
        ends: list[tuple[Address, int]] = [
            (abi.unpack_address(low), _port(key["low_port"])), (abi.unpack_address(high), _port(key["high_port"]))
        ]  # fmt: skip
        (source, source_port), (destination, destination_port) = ends if record["from_low"] else reversed(ends)
        return Read(
            int(key["ip_proto"]), source, source_port, destination, destination_port, int(record["length"]),
            opening=bool(record["opening"]), error=bool(record["related"]),
            fragment=self._fragments.get(int(record["fragment"]), ""),
        )  # fmt: skip

    def _connection(self, record: Any, names: Names) -> ConnectionReport | None:  # noqa: ANN401 -- a record of numpy
        if not record["word"]:
            return None
        main = int(record["table"]) == abi.enum("table_id")["TABLE_MAIN"]
        entries = self._maps["entries" if main else "next_entries"].view(abi.types().struct("connection"))
        rows = entries[int(record["slot"]) : int(record["slot"]) + 1].copy()
        # It may have ended since, and another one be in its place.
        if (int(rows["word"][0]) ^ int(record["word"])) >> 32 or rows["key"][0] != record["key"]:
            return None
        return next(reports(rows, self._now_ns(), self._publisher.timeouts_ns, names))

    def _last_hop(self, record: Any, names: Names) -> tuple[HopName | None, bool]:  # noqa: ANN401 -- a record of numpy
        """Of a connection that there is not yet; an explaining program learns no hop, and then notes none."""
        if self._reasons[int(record["reason"])] not in {"forwarded_opening", "forwarded_midstream"}:
            return None, False
        if record["last_hop"]:
            return names.hop(int(record["last_hop"])), True
        return self._place(int(record["source_target"])), False

    def _place(self, target: int) -> HopName | None:
        """Leg, MAC address and real server of a target word; None for 0."""
        if not target:
            return None
        leg_id, mac = abi.split_target(target)
        return self._hop_at(leg_id, mac)

    def _hop_at(self, leg_id: int, mac: str) -> HopName:
        id_ = self._publisher.hops.find(abi.target_word(leg_id, mac))
        box = int(self._publisher.hops.hops["box"][id_]) if id_ else 0
        vlan = ".".join(str(vid) for _, vid in _tags(self._publisher.legs[leg_id])) or None
        return HopName(self._publisher.leg_names.name_of(leg_id), mac, vlan, self._publisher.boxes.name_of(box))

    def _way_out(self, record: Any) -> WayOut | None:  # noqa: ANN401 -- a record of numpy
        hop = self._place(int(record["target"]))
        if hop is None or int(record["reason"]) >= abi.enum("reason")["KERNEL_FIRST"]:
            return None
        leg = self._publisher.legs[abi.split_target(int(record["target"]))[0]]
        return WayOut(hop, abi.unpack_mac(leg["mac"].tobytes()))

    def _turn(self, service_id: int) -> int:
        if service_id >= abi.limit("MAX_SERVICES"):
            return 0
        loads = self._maps["service_loads"].view(abi.types().struct("service_load"))
        return int(loads["turn"][service_id])

    def _template(self, service_id: int, read: Read | None) -> TemplateReport | None:
        if read is None or service_id >= abi.limit("MAX_SERVICES"):
            return None
        service = self._publisher.service(service_id)[0]
        if not service["persistence_ns"]:
            return None
        prefix = int(service["persistence_prefix6" if read.source.version == 6 else "persistence_prefix"])  # noqa: PLR2004 -- IP version
        mask = ((1 << prefix) - 1) << (_IPV6_BITS - prefix)
        client = (int.from_bytes(abi.pack_address(read.source), "big") & mask).to_bytes(16, "big")
        found = self._maps["templates"].lookup(client + service_id.to_bytes(4, "little"))
        if found is None:
            return None
        template = np.frombuffer(found, abi.types().struct("template"))[0]
        children = int(template["children"]) & ~abi.enum("template_flag")["TEMPLATE_ASSURED"]
        expires, server = int(template["expires_ns"]), int(template["server"])
        if server == abi.enum("server_id")["SERVER_NONE"] or (not children and expires < self._now_ns()):
            return None
        return TemplateReport(
            service=self._publisher.services.name_of(service_id),
            client=str(abi.unpack_address(client)),
            prefix=prefix if read.source.version == 6 else prefix - 96,  # noqa: PLR2004 -- IP version
            real_server=self._names().server(server),
            connections=children,
            assured=bool(int(template["children"]) & abi.enum("template_flag")["TEMPLATE_ASSURED"]),
            expires_s=round(max(0, expires - self._now_ns()) / _NS, 3),
        )

    def _local(self, service_id: int, read: Read | None, names: Names) -> tuple[str, ...]:
        if read is None or service_id >= abi.limit("MAX_SERVICES"):
            return ()
        if int(self._publisher.service(service_id)["choice"][0]) not in {
            abi.enum("choice")[name] for name in ("BY_LOCALITY", "BY_LOCALITY_SET")
        }:
            return ()
        found = self._maps["localities"].lookup(abi.pack_address(read.destination) + service_id.to_bytes(4, "little"))
        if found is None:
            return ()
        locality = np.frombuffer(found, abi.types().struct("locality"))[0]
        return tuple(names.server(int(id_)) for id_ in locality["server"][: int(locality["count"])])

    # The auditor.

    def asymmetry(self) -> AsymmetryReport:
        """See Inspection.asymmetry."""
        taken = int(self._table["samples"][0])
        kept = min(taken, len(self._samples))
        rows = [self._samples[(taken - 1 - back) % len(self._samples)].copy() for back in range(kept)]
        return AsymmetryReport(taken, [self._sample(row) for row in rows if row["when_ns"]])

    def _sample(self, row: Any) -> AsymmetricResponse:  # noqa: ANN401 -- a record of numpy
        key, names = row["key"], self._publisher.boxes
        ends = [(key["low"], key["low_port"]), (key["high"], key["high_port"])]
        (source, source_port), (destination, destination_port) = ends if row["from_low"] else reversed(ends)
        return AsymmetricResponse(
            zone=self._publisher.zones.name_of(int(key["zone"])),
            protocol=protocol_name(int(key["ip_proto"])),
            source=str(abi.unpack_address(source.tobytes())),
            source_port=_port(source_port),
            destination=str(abi.unpack_address(destination.tobytes())),
            destination_port=_port(destination_port),
            expected=names.name_of(int(row["expected"])),
            came_from=names.name_of(int(row["came_from"])),
            ago_s=round(max(0, self._now_ns() - int(row["when_ns"])) / _NS, 3),
        )

    # Captured frames.

    @property
    def descriptor(self) -> int:
        """See Inspection.descriptor."""
        return self._maps["captures"].fd

    def capture(self, legs: Collection[str]) -> None:
        """See Inspection.capture."""
        if legs and not self._capturing:
            self._opened().clear()
        self._capture_legs(frozenset(legs))
        self._capturing = bool(legs)

    def captured(self, limit: int) -> list[CapturedFrame]:
        """See Inspection.captured."""
        since = started_ns()
        return [self._frame(np.frombuffer(each, self._captured, 1)[0], since) for each in self._opened().records(limit)]

    def lost(self) -> int:
        """See Inspection.lost."""
        return int(self._table["captures_lost"][0])

    def close(self) -> None:
        """Unload the explaining program."""
        self._explainer.close()

    def _opened(self) -> Ring:
        if self._ring is None:
            self._ring = Ring(self._maps["captures"])
        return self._ring

    def _frame(self, record: Any, since_ns: int) -> CapturedFrame:  # noqa: ANN401 -- a record of numpy
        data = record["data"][: int(record["snapped"])].tobytes()
        length, leg_id = int(record["length"]), int(record["leg"])
        mac = abi.unpack_mac(data[:6] if record["out"] else data[6:12])
        if record["tag_protocol"]:
            data = with_tags(data, [(_port(record["tag_protocol"]), int(record["tci"]))])
            length += 4
        reason = self._reasons[int(record["reason"])]
        return CapturedFrame(
            time_ns=int(record["when_ns"]) + since_ns,
            leg=self._publisher.leg_names.name_of(leg_id),
            direction="out" if record["out"] else "in",
            entry="xdp" if int(record["entry"]) == abi.enum("entry")["ENTRY_XDP"] else "tc",
            verdict=verdict_of(reason),
            reason=reason,
            hop=self._hop_at(leg_id, mac).name,
            length=length,
            data=data.hex(),
        )


def _tags(leg: Any) -> list[tuple[int, int]]:  # noqa: ANN401 -- a record of numpy
    """(protocol, VLAN) of a leg's frames, the outer first."""
    return [(_port(tag["protocol"]), int(tag["vid"])) for tag in leg["tags"] if tag["protocol"]]


def _left_out(record: Any) -> str:  # noqa: ANN401 -- a record of numpy
    """See `Finding.left_out`."""
    return ("active" if record["retired_active"] else "inactive") if record["retired_server"] else ""


def _port(field: Any) -> int:  # noqa: ANN401 -- a number of numpy
    """A 16-bit field in network order."""
    return int.from_bytes(int(field).to_bytes(2, "little"), "big")


def _words(enum: str, prefix: str, none: str) -> dict[int, str]:
    return {
        number: "" if name == prefix + none else name.removeprefix(prefix).lower()
        for name, number in abi.enum(enum).items()
    }


def _chosen_by() -> dict[int, str]:
    """Words of `ChoiceReport.by`."""
    renamed = {"before": "connection", "scheduled": "scheduler"}
    return {number: renamed.get(word, word) for number, word in _words("chosen_by", "CHOSEN_", none="NOT").items()}
