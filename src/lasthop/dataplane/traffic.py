"""What went through the kernel's data plane, and which clients are bound: ids and records in words.

Owns the reading of persistence templates. How statistics add up is `lasthop.dataplane.accounts`'.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.model.template import TemplateReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from lasthop.dataplane.connection_table import ConnectionTable
    from lasthop.dataplane.interface import Measured
    from lasthop.dataplane.libbpf import Map
    from lasthop.dataplane.publisher import Publisher

_NS = 1_000_000_000
IPV4 = 4


class KernelTraffic:
    """See `interface.Traffic`."""

    def __init__(
        self, publisher: Publisher, templates: Map, now_ns: Callable[[], int], table: Callable[[], ConnectionTable]
    ) -> None:
        self._publisher = publisher
        self._templates = templates
        self._now_ns = now_ns
        self._table = table

    def openings(self, window_s: float, patience_s: float) -> dict[tuple[str, str], tuple[int, int]]:
        """See Traffic.openings."""
        until = self._now_ns() - int(patience_s * _NS)
        opened, unanswered = self._table().openings(socket.IPPROTO_TCP, until - int(window_s * _NS), until)
        ids = self._publisher.server_ids()
        return {key: (int(opened[i]), int(unanswered[i])) for key, i in ids.items() if opened[i]}

    def servers(self) -> dict[tuple[str, str], Measured]:
        """See Traffic.servers."""
        ids = self._publisher.server_ids()
        return dict(zip(ids, self._publisher.accounts.of_servers(ids.values()), strict=True))

    def services(self) -> dict[str, Measured]:
        """See Traffic.services."""
        names = self._publisher.services
        ids = {name: names.id_of(name) for name in names.names()}
        return dict(zip(ids, self._publisher.accounts.of_services(ids.values()), strict=True))

    def zero(self, service: str | None = None) -> None:
        """See Traffic.zero."""
        names = self._publisher.services
        services = [name for name in names.names() if service in (None, name)]
        servers = [id_ for key, id_ in self._publisher.server_ids().items() if service in (None, key[0])]
        self._publisher.accounts.zero([names.id_of(name) for name in services], servers)

    def templates(self) -> list[TemplateReport]:
        """See Traffic.templates."""
        types = abi.types()
        keys, values = self._templates.batch(types.struct("template_key"), types.struct("template"))
        return list(self._reports(keys, values))

    def _reports(self, keys: NDArray[Any], values: NDArray[Any]) -> Iterator[TemplateReport]:
        assured = abi.enum("template_flag")["TEMPLATE_ASSURED"]
        nobody, now = abi.enum("server_id")["SERVER_NONE"], self._now_ns()
        prefix4, prefix6 = self._publisher.persistence_prefixes
        boxes, expires = self._publisher.servers["box"], values["expires_ns"].astype(np.int64)
        children = values["children"] & ~np.uint32(assured)
        shown = (values["server"] != nobody) & ((children > 0) | (expires >= now))
        for i in np.flatnonzero(shown).tolist():
            service, client = int(keys["service"][i]), abi.unpack_address(keys["client"][i].tobytes())
            yield TemplateReport(
                service=self._publisher.services.name_of(service),
                client=str(client),
                prefix=int((prefix4 if client.version == IPV4 else prefix6)[service]),
                real_server=self._publisher.boxes.name_of(int(boxes[values["server"][i]])),
                connections=int(children[i]),
                assured=bool(values["children"][i] & assured),
                expires_s=round(max(0, int(expires[i]) - now) / _NS, 3),
            )
