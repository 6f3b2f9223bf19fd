"""ipvsadm's commands and options: their names, what they take, and which go together.

Owns the table and the check against it; the texts are ipvsadm's. What an argument means is `request`'s.
"""

from __future__ import annotations

from typing import NamedTuple

from lasthop.cli.ipvsadm.refusal import IpvsadmError

#: Options that are told apart, in the order in which ipvsadm complains about them.
WORDS = (
    "numeric", "connection", "service-address", "scheduler", "persistent", "netmask", "real-server",
    "forwarding-method", "weight", "u-threshold", "l-threshold", "mcast-interface", "timeout", "daemon", "stats",
    "rate", "thresholds", "persistent-conn", "nosort", "syncid", "exact", "ops", "pe", "sched-flags", "mcast-group",
    "mcast-port", "mcast-ttl", "sync-maxlen", "tun-info", "tun-type", "tun-port", "tun-nocsum", "tun-csum",
    "tun-remcsum",
)  # fmt: skip
BITS = {word: 1 << place for place, word in enumerate(WORDS)}

NOTHING, ARGUMENT, PERHAPS = range(3)
"""What an option takes: no argument, one, or one if the next word can be it."""


class Option(NamedTuple):
    """An option as it is typed."""

    name: str
    """After ``--``."""
    letter: str = ""
    takes: int = NOTHING
    word: str = ""
    """Of `WORDS`; empty: it may be given often, or is a command."""
    command: str = ""
    """The command it is; empty: it is none."""

    @property
    def bit(self) -> int:
        """Its bit among those that were given; 0 if nobody counts."""
        return BITS.get(self.word, 0)


def bits(words: str) -> int:
    """The bits of options that are named in one text."""
    return sum(BITS[word] for word in words.split())


class Rule(NamedTuple):
    """Which options a command or a tunnel type goes with."""

    required: int = 0
    optional: int = 0
    exclusive: int = 0
    """Of these there may be one."""


COMMANDS = (
    Option("add-service", "A", command="add-service"),
    Option("edit-service", "E", command="edit-service"),
    Option("delete-service", "D", command="delete-service"),
    Option("clear", "C", command="flush"),
    Option("list", "L", command="list"),
    Option("list", "l", command="list"),
    Option("zero", "Z", command="zero"),
    Option("add-server", "a", command="add-server"),
    Option("edit-server", "e", command="edit-server"),
    Option("delete-server", "d", command="delete-server"),
    Option("set", command="set"),
    Option("help", "h", command="help"),
    Option("version", "v", command="version"),
    Option("restore", "R", command="restore"),
    Option("save", "S", command="save"),
    Option("start-daemon", takes=ARGUMENT, command="start-daemon"),
    Option("stop-daemon", takes=ARGUMENT, command="stop-daemon"),
)
OPTIONS = (
    *COMMANDS,
    Option("tcp-service", "t", ARGUMENT, "service-address"),
    Option("udp-service", "u", ARGUMENT, "service-address"),
    Option("sctp-service", "", ARGUMENT, "service-address"),
    Option("fwmark-service", "f", ARGUMENT, "service-address"),
    Option("ipv6", "6"),
    Option("scheduler", "s", ARGUMENT, "scheduler"),
    Option("persistent", "p", PERHAPS, "persistent"),
    Option("netmask", "M", ARGUMENT, "netmask"),
    Option("ops", "o", word="ops"),
    Option("pe", "", ARGUMENT, "pe"),
    Option("sched-flags", "b", ARGUMENT, "sched-flags"),
    Option("real-server", "r", ARGUMENT, "real-server"),
    Option("gatewaying", "g", word="forwarding-method"),
    Option("masquerading", "m", word="forwarding-method"),
    Option("ipip", "i", word="forwarding-method"),
    Option("weight", "w", ARGUMENT, "weight"),
    Option("u-threshold", "x", ARGUMENT, "u-threshold"),
    Option("l-threshold", "y", ARGUMENT, "l-threshold"),
    Option("tun-type", "", ARGUMENT, "tun-type"),
    Option("tun-port", "", ARGUMENT, "tun-port"),
    Option("tun-nocsum", word="tun-nocsum"),
    Option("tun-csum", word="tun-csum"),
    Option("tun-remcsum", word="tun-remcsum"),
    Option("numeric", "n", word="numeric"),
    Option("connection", "c", word="connection"),
    Option("timeout", word="timeout"),
    Option("daemon", word="daemon"),
    Option("stats", word="stats"),
    Option("rate", word="rate"),
    Option("thresholds", word="thresholds"),
    Option("persistent-conn", word="persistent-conn"),
    Option("tun-info", word="tun-info"),
    Option("nosort", word="nosort"),
    Option("sort"),
    Option("exact", "X", word="exact"),
    Option("mcast-interface", "", ARGUMENT, "mcast-interface"),
    Option("mcast-group", "", ARGUMENT, "mcast-group"),
    Option("mcast-port", "", ARGUMENT, "mcast-port"),
    Option("mcast-ttl", "", ARGUMENT, "mcast-ttl"),
    Option("syncid", "", ARGUMENT, "syncid"),
    Option("sync-maxlen", "", ARGUMENT, "sync-maxlen"),
)

_SERVICE = bits("scheduler persistent netmask ops pe sched-flags")
_TUNNEL = bits("tun-type tun-port tun-nocsum tun-csum tun-remcsum")
_SERVER = bits("forwarding-method weight u-threshold l-threshold") | _TUNNEL
_ADDRESS = BITS["service-address"]
_BOTH = _ADDRESS | BITS["real-server"]

RULES = {
    "add-service": Rule(_ADDRESS, _SERVICE),
    "edit-service": Rule(_ADDRESS, _SERVICE),
    "delete-service": Rule(_ADDRESS),
    "flush": Rule(),
    "list": Rule(
        optional=bits("numeric stats rate thresholds persistent-conn nosort syncid exact tun-info"),
        exclusive=bits("connection service-address timeout daemon"),
    ),
    "add-server": Rule(_BOTH, _SERVER),
    "delete-server": Rule(_BOTH),
    "edit-server": Rule(_BOTH, _SERVER),
    "set": Rule(),
    "start-daemon": Rule(optional=bits("mcast-interface syncid mcast-group mcast-port mcast-ttl sync-maxlen")),
    "stop-daemon": Rule(optional=bits("syncid")),
    "restore": Rule(),
    "save": Rule(optional=bits("numeric")),
    "zero": Rule(optional=_ADDRESS),
}
TUNNEL_TYPES = {
    "ipip": Rule(),
    "gue": Rule(required=bits("tun-port"), exclusive=bits("tun-nocsum tun-csum tun-remcsum")),
    "gre": Rule(exclusive=bits("tun-nocsum tun-csum")),
}


def check_command(command: str, given: int) -> None:
    """Raise IpvsadmError if `command` does not go with the options that were given."""
    _check(RULES[command], given, f"'{command}' command")


def check_tunnel(tunnel: str, given: int) -> None:
    """Raise IpvsadmError if a tunnel of this type does not go with its options."""
    _check(TUNNEL_TYPES[tunnel], given & _TUNNEL & ~BITS["tun-type"], f"'{tunnel}' tunnel type")


def tunnel_asked(given: int) -> bool:
    """Whether an option that only tunnels have was given."""
    return bool(given & _TUNNEL)


def _check(rule: Rule, given: int, what: str) -> None:
    known = rule.required | rule.optional | rule.exclusive
    if not rule.required & ~given and not given & ~known and (given & rule.exclusive).bit_count() <= 1:
        return
    first = ""
    for word, bit in BITS.items():
        if not given & bit:
            if rule.required & bit:
                raise IpvsadmError(f"You need to supply the '{word}' option for the {what}")
        elif not known & bit:
            raise IpvsadmError(f"Illegal '{word}' option with the {what}")
        elif rule.exclusive & bit:
            if first:
                raise IpvsadmError(f"The option '{word}' conflicts with the '{first}' option in the {what}")
            first = word
