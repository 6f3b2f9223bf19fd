"""What one command line asks for.

Owns the meaning of every option's argument, and the order of ipvsadm's checks: each option as it comes, then what goes
with the command, then what the parts say together. Nothing is asked of a director here.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lasthop.cli.ipvsadm import options
from lasthop.cli.ipvsadm.names import IPV4, IPV6, endpoint, ipv4
from lasthop.cli.ipvsadm.numbers import leading, number
from lasthop.cli.ipvsadm.refusal import REFUSED, TRY_HELP, IpvsadmError
from lasthop.cli.ipvsadm.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lasthop.cli.ipvsadm.options import Option

MAX_INT = 2**31 - 1
MAX_MARK = 2**32 - 1
MAX_PORT = 65_535
MAX_TIMEOUT_S = 31 * 86_400
MAX_SYNC_ID = 255
MAX_TTL = 255
MAX_SYNC_LENGTH = 65_535 - 20 - 8
IPV6_BITS = 128
DEFAULT_SCHEDULER = "wlc"
DEFAULT_PERSISTENCE_S = 360
#: IP_VS_SCHEDNAME_MAXLEN of linux/ip_vs.h, less the final zero.
SCHEDULER_LENGTH = 15
#: First bytes of multicast addresses.
_MULTICAST4, _MULTICAST6 = range(224, 240), range(255, 256)
_PROTOCOLS = {"tcp-service": "tcp", "udp-service": "udp", "sctp-service": "sctp"}
_FORWARDS = {"gatewaying": "g", "masquerading": "m", "ipip": "i"}
#: Flag -> the scheduler that has it; empty: any.
_FLAGS = {
    "flag-1": "", "flag-2": "", "flag-3": "",
    "sh-fallback": "sh", "sh-port": "sh", "mh-fallback": "mh", "mh-port": "mh",
}  # fmt: skip


@dataclass(slots=True)
class Request:
    """A command line that was read."""

    command: str
    """A key of `options.RULES`, ``help`` or ``version``."""
    given: int = 0
    """Bits of the options that were given."""
    family: int = 0
    mark: int = 0
    """0: a service by address."""
    protocol: str = ""
    """Also of a mark, which has TCP's names of ports."""
    address: str = ""
    port: int = 0
    scheduler: str = ""
    persistence_s: int | None = None
    netmask: str = ""
    """Dotted, or a number of bits for IPv6; empty: the whole address."""
    one_packet: bool = False
    engine: str = ""
    flags_text: str = ""
    flags: tuple[str, ...] = ()
    server: str = ""
    """Address of the real server."""
    server_name: str = ""
    """Its host as it was typed, if that was a name."""
    server_port: int | None = None
    server_family: int = 0
    forward: str = "g"
    weight: int = 1
    upper: int = 0
    lower: int = 0
    tunnel: str = "ipip"
    role: str = ""
    """``master`` or ``backup``, of the sync daemon."""
    timeouts: tuple[int, int, int] = (0, 0, 0)
    """TCP, TCP after a FIN, UDP."""

    def has(self, word: str) -> bool:
        """Whether an option of `options.WORDS` was given."""
        return bool(self.given & options.BITS[word])

    @property
    def label(self) -> str:
        """The service's label, as a director has it."""
        if self.mark:
            return f"FWM {self.mark}" + (" IPv6" if self.family == IPV6 else "")
        host = f"[{self.address}]" if self.family == IPV6 else self.address
        return f"{self.protocol.upper()} {host}:{self.port}"


def parse(words: Sequence[str]) -> Request:
    """Read a command line without the program's name. Raises IpvsadmError in ipvsadm's words."""
    taken = Words(words)
    found = iter(taken)
    request = _commanded(found)
    if request.command in {"help", "version"}:
        return request
    given = 0
    for option, argument in found:
        meaning = _MEANINGS.get(option.name)
        if meaning is None:
            raise IpvsadmError(f"invalid option `{taken.last}'")
        bit, take = meaning
        if given & bit:
            raise IpvsadmError(f"multiple '{option.word}' options specified")
        given |= bit
        if argument is None and option.takes:
            request.persistence_s = DEFAULT_PERSISTENCE_S
        elif take is not None:
            take(request, argument or "")
    request.given = given
    _take_rest(request, taken.rest)
    if request.flags_text:
        request.flags = _flags(request)
    options.check_command(request.command, given)
    _check_together(request)
    return request


def _commanded(found: Iterator[tuple[Option, str | None]]) -> Request:
    """The command: the first option must be one. Whatever is wrong with it, ipvsadm says where help is."""
    try:
        option, argument = next(found)
    except (StopIteration, IpvsadmError):
        raise IpvsadmError(TRY_HELP, REFUSED) from None
    if not option.command:
        raise IpvsadmError(TRY_HELP, REFUSED)
    request = Request(option.command)
    if argument is not None:
        if argument not in {"master", "backup"}:
            what = "start-daemon parameter" if option.command == "start-daemon" else "start_daemon"
            raise IpvsadmError(f"illegal {what} specified")
        request.role = argument
    return request


def _take_rest(request: Request, rest: list[str]) -> None:
    """Words that are no options: the three time-outs of --set, and nothing else."""
    if request.command == "set":
        if len(rest) < len(request.timeouts):
            raise IpvsadmError("--set option requires 3 timeout values")
        tcp, tcp_fin, udp, *rest = rest
        request.timeouts = (_timeout(tcp, 0), _timeout(tcp_fin, 0), _timeout(udp, 0))
    if rest:
        raise IpvsadmError(f"unexpected argument {rest[0]}")


def _check_together(request: Request) -> None:
    if request.command in {"add-service", "edit-service"}:
        if not request.mark and not request.port and request.persistence_s is None:
            raise IpvsadmError("Zero port specified for non-persistent service")
        if request.one_packet and not request.mark and request.protocol != "udp":
            raise IpvsadmError("One-Packet Scheduling is only for UDP virtual services")
        request.scheduler = request.scheduler or DEFAULT_SCHEDULER
    elif request.command in {"add-server", "edit-server"}:
        if request.forward != "i":
            if request.server_family != request.family:
                raise IpvsadmError("Different address family is allowed only for tunneling servers")
            if options.tunnel_asked(request.given):
                raise IpvsadmError("Tunnel options conflict with forward method")
        options.check_tunnel(request.tunnel, request.given)
    elif request.command == "list":
        given = request.given
        if (given & _OTHER_LISTS and given & _NUMBERS) or (given & _SETTINGS and request.has("persistent-conn")):
            raise IpvsadmError("options conflicts in the list command")


_SETTINGS = options.bits("timeout daemon")
_OTHER_LISTS = options.bits("connection") | _SETTINGS
_NUMBERS = options.bits("stats rate thresholds")


def _flags(request: Request) -> tuple[str, ...]:
    scheduler = request.scheduler or DEFAULT_SCHEDULER
    flags = [flag for flag in request.flags_text.split(",") if flag]
    for flag in flags:
        if flag not in _FLAGS:
            raise IpvsadmError(f"invalid scheduler flag `{flag}'")
        if _FLAGS[flag] not in {"", scheduler}:
            raise IpvsadmError(f"incompatible scheduler flag `{flag}'")
    return tuple(flags)


def _timeout(text: str, least: int) -> int:
    found = number(text, least, MAX_TIMEOUT_S)
    if found is None:
        raise IpvsadmError(f"invalid timeout value `{text}' specified")
    return found


def _take_address(request: Request, argument: str, *, protocol: str) -> None:
    request.protocol = protocol
    found = endpoint(argument, protocol)
    if found is None:
        raise IpvsadmError("illegal virtual server address[:port] specified")
    request.family, request.address = found.family, found.address
    request.port = found.port or 0


def _take_mark(request: Request, argument: str) -> None:
    found = number(argument, 1, MAX_MARK)
    if found is None:
        raise IpvsadmError(f"invalid fwmark value `{argument}' specified")
    request.family, request.protocol, request.mark = IPV4, "tcp", found


def _take_ipv6(request: Request, _argument: str) -> None:
    if not request.mark:
        raise IpvsadmError("-6 used before -f\n")
    request.family = IPV6


def _take_scheduler(request: Request, argument: str) -> None:
    request.scheduler = argument[:SCHEDULER_LENGTH]


def _take_netmask(request: Request, argument: str) -> None:
    if request.family == IPV6:
        bits = leading(argument)
        if not 1 <= bits <= IPV6_BITS:
            raise IpvsadmError("illegal ipv6 netmask specified")
        request.netmask = str(bits)
        return
    request.netmask, _ = ipv4(argument)
    if not request.netmask:
        raise IpvsadmError("illegal virtual server persistent mask specified")


def _take_one_packet(request: Request, _argument: str) -> None:
    request.one_packet = True


def _take_server(request: Request, argument: str) -> None:
    found = endpoint(argument, request.protocol)
    if found is None:
        raise IpvsadmError("illegal real server address[:port] specified")
    request.server_family, request.server, request.server_name, request.server_port = found


def _take_forward(request: Request, _argument: str, *, forward: str) -> None:
    request.forward = forward


def _take_number(request: Request, argument: str, *, field: str, what: str) -> None:
    found = number(argument, 0, MAX_INT)
    if found is None:
        raise IpvsadmError(f"illegal {what} specified")
    setattr(request, field, found)


def _take_text(request: Request, argument: str, *, field: str) -> None:
    setattr(request, field, argument)


def _take_tunnel(request: Request, argument: str) -> None:
    if argument not in options.TUNNEL_TYPES:
        raise IpvsadmError("illegal tunnel type specified")
    request.tunnel = argument


def _check_number(_request: Request, argument: str, *, least: int, most: int, what: str) -> None:
    """Of an option whose number is not kept: what it is for, lasthop does not do."""
    if number(argument, least, most) is None:
        raise IpvsadmError(f"illegal {what} specified")


def _check_group(_request: Request, argument: str) -> None:
    """A group of the sync daemon; likewise."""
    family, version, first = (
        (socket.AF_INET6, IPV6, _MULTICAST6) if ":" in argument else (socket.AF_INET, IPV4, _MULTICAST4)
    )
    try:
        multicast = socket.inet_pton(family, argument)[0] in first
    except (OSError, ValueError):
        multicast = False
    if not multicast:
        raise IpvsadmError(f"invalid IPv{version} mcast-group `{argument}'")


def _take_persistence(request: Request, argument: str) -> None:
    request.persistence_s = _timeout(argument, 1)


_TAKES: dict[str, Callable[[Request, str], None]] = {
    "fwmark-service": _take_mark,
    "ipv6": _take_ipv6,
    "scheduler": _take_scheduler,
    "persistent": _take_persistence,
    "netmask": _take_netmask,
    "ops": _take_one_packet,
    "pe": partial(_take_text, field="engine"),
    "sched-flags": partial(_take_text, field="flags_text"),
    "real-server": _take_server,
    "weight": partial(_take_number, field="weight", what="weight"),
    "u-threshold": partial(_take_number, field="upper", what="u_threshold"),
    "l-threshold": partial(_take_number, field="lower", what="l_threshold"),
    "tun-type": _take_tunnel,
    "tun-port": partial(_check_number, least=1, most=MAX_PORT, what="tunnel port"),
    "mcast-group": _check_group,
    "mcast-port": partial(_check_number, least=1, most=MAX_PORT, what="mcast-port"),
    "mcast-ttl": partial(_check_number, least=1, most=MAX_TTL, what="mcast-ttl"),
    "syncid": partial(_check_number, least=0, most=MAX_SYNC_ID, what="syncid"),
    "sync-maxlen": partial(_check_number, least=1, most=MAX_SYNC_LENGTH, what="sync-maxlen"),
}
_TAKES |= {name: partial(_take_address, protocol=protocol) for name, protocol in _PROTOCOLS.items()}
_TAKES |= {name: partial(_take_forward, forward=forward) for name, forward in _FORWARDS.items()}

#: Name of an option -> its bit, and what takes its argument; commands have none.
_MEANINGS = {option.name: (option.bit, _TAKES.get(option.name)) for option in options.OPTIONS if not option.command}
