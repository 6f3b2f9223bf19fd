"""Many packets, quickly: the same frame with other addresses and ports written over it.

Must not be here: what becomes of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.packet.frames import reply, tcp
from tests.packet.plans import FW, ROUTER, mac_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.packet.rig import Rig

#: Client number -> the address and port a request of it comes from.
Client = tuple[bytes, int]


def ethernet(leg: str, source: str) -> bytes:
    return bytes.fromhex((mac_of(leg) + source).replace(":", "")) + b"\x08\x00"


def client(number: int) -> Client:
    """An address of 10.0.0.0/8 and a port; 60,000 ports an address."""
    return (0x0A000001 + number // 60_000).to_bytes(4, "big"), 1024 + number % 60_000


def request(packet: Any, source: str = ROUTER) -> Callable[[int], bytes]:
    """Number of a client -> its request through leg outside."""
    plain = ethernet("outside", source) + bytes(packet)

    def made(number: int) -> bytes:
        address, port = client(number)
        return plain[:26] + address + plain[30:34] + port.to_bytes(2, "big") + plain[36:]

    return made


def response(packet: Any, source: str = FW[0]) -> Callable[[int], bytes]:
    """Number of a client -> the response to it through leg firewalls."""
    plain = ethernet("firewalls", source) + bytes(packet)

    def made(number: int) -> bytes:
        address, port = client(number)
        return plain[:30] + address + plain[34:36] + port.to_bytes(2, "big") + plain[38:]

    return made


SYN, ACK, RST = (request(tcp(flags)) for flags in ("S", "A", "R"))
SYN_ACK, ANSWER = (response(reply(tcp(), flags)) for flags in ("SA", "A"))


def establish(rig: Rig, number: int) -> None:
    """See a client's connection through to ESTABLISHED in both directions, by the one firewall there is."""
    for leg, frame in (("outside", SYN(number)), ("firewalls", SYN_ACK(number)), ("outside", ACK(number))):
        verdict, _ = rig.run(leg, frame)
        assert verdict == "forwarded", (number, verdict)
