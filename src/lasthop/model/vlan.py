"""A VLAN: the tags that tell one leg of an interface from another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FIRST_VLAN, LAST_VLAN = 1, 4094
"""IEEE 802.1Q table 9-2: 0 is a priority tag, 4095 is reserved."""


class VlanProtocol(StrEnum):
    """What a tag begins with: configuration value of ``vlan_protocol``."""

    DOT1Q = "802.1q"
    DOT1AD = "802.1ad"

    @property
    def ethertype(self) -> int:
        """Tag protocol identifier."""
        return _ETHERTYPES[self]


_ETHERTYPES = {VlanProtocol.DOT1Q: 0x8100, VlanProtocol.DOT1AD: 0x88A8}


@dataclass(frozen=True, slots=True)
class Vlan:
    """One tag, or two (QinQ). Written ``100``, or ``200.100`` with the outer one first."""

    outer: int
    inner: int | None = None
    protocol: VlanProtocol = VlanProtocol.DOT1Q
    """Of the outer tag on the way out; the inner one is always 802.1Q."""

    def __str__(self) -> str:
        return str(self.outer) if self.inner is None else f"{self.outer}.{self.inner}"

    @property
    def ids(self) -> tuple[int, ...]:
        """The VLANs, the outer first: what frames are told apart by."""
        return (self.outer,) if self.inner is None else (self.outer, self.inner)

    @property
    def tags(self) -> tuple[tuple[VlanProtocol, int], ...]:
        """The tags of a frame on the way out, the outer first."""
        outer = (self.protocol, self.outer)
        return (outer,) if self.inner is None else (outer, (VlanProtocol.DOT1Q, self.inner))


def default_protocol(tags: int) -> VlanProtocol:
    """Return the outer tag's protocol where the configuration does not say: by how many tags there are."""
    return VlanProtocol.DOT1Q if tags == 1 else VlanProtocol.DOT1AD
