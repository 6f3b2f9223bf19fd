"""Edits made to a configuration: each refused with its place in the list and what mends it, or all made.

Owns what each kind of edit means. Whether the result fits the machine is for `lasthop.policy.compile` to say.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from lasthop.config import values
from lasthop.config.document import known_words
from lasthop.config.rule_text import match_of
from lasthop.director.draft import Draft
from lasthop.errors import EditError
from lasthop.model.director import State
from lasthop.model.edit import (
    Administer,
    Clear,
    DeleteServer,
    DeleteService,
    MarkEdit,
    ServerEdit,
    ServiceEdit,
    SetTimeouts,
    Weigh,
)
from lasthop.model.real_server import Admin, RealServer
from lasthop.model.rule import ANY_REAL_SERVER, MarkRule
from lasthop.model.service import Persistence, Service, VirtualAddress
from lasthop.policy.limits import MAX_SERVERS, MAX_SERVERS_PER_SERVICE, MAX_SERVICES
from lasthop.policy.schedulers import SCHEDULERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lasthop.model.configuration import Configuration
    from lasthop.model.edit import Edit
    from lasthop.model.real_server import Address

MAX_MARK = 2**32 - 1
MAX_WEIGHT = 65_535
MAX_TIMEOUT_S = 31_536_000
REMEMBERED_ADDRESSES = 8192
_ADMIN = {"enable": Admin.ENABLED, "drain": Admin.DRAINED, "disable": Admin.DISABLED}
_MARK_WORDS = (
    "leg", "source_real_server", "family", "protocol", "source", "destination", "source_port", "destination_port",
)  # fmt: skip
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}


def edited(configuration: Configuration, edits: Sequence[Edit]) -> Configuration:
    """Return `configuration` with all `edits` made in their order. Raises EditError for the first that cannot be."""
    draft = Draft(configuration)
    for index, edit in enumerate(edits):
        try:
            _MAKE[type(edit)](draft, _named(edit))
        except EditError as error:
            error.index = index
            raise
    after = draft.finished()
    _require_room(after)
    return after


@lru_cache(maxsize=REMEMBERED_ADDRESSES)
def service_of(label: str) -> Service:
    """Return an empty service of a label, which may be written in another way than the service's own.

    Raises EditError if it is none.
    """
    kind, _, rest = label.partition(" ")
    rest = rest.strip()
    mark, _, family = rest.partition(" ")
    if kind == "FWM" and mark.isdecimal() and 0 < int(mark) <= MAX_MARK and family in {"", "IPv6"}:
        return Service(int(mark), (), (), family=family.lower())
    host, _, port = rest.rpartition(":")
    if kind in _PROTOCOLS and port.isdecimal() and int(port) <= values.MAX_PORT:
        address = _address(host.removeprefix("[").removesuffix("]"))
        return Service(0, (), (), virtual_address=VirtualAddress(_PROTOCOLS[kind], address, int(port)))
    raise EditError(
        f"'{label}' is no service's label", "write FWM 1, TCP 203.0.113.80:80 or TCP [2001:db8::80]:80", "invalid"
    )


def _named(edit: Edit) -> Edit:
    """Return an edit that calls its service as the service calls itself."""
    if isinstance(edit, Clear | SetTimeouts | MarkEdit) or edit.service is None:
        return edit
    try:
        own = service_of(edit.service).label
    except EditError:
        return edit
    return edit if own == edit.service else replace(edit, service=own)


def _require_room(configuration: Configuration) -> None:
    if len(configuration.services) > MAX_SERVICES:
        raise _too_many("services", len(configuration.services), MAX_SERVICES)
    for service in configuration.services:
        if len(service.real_servers) > MAX_SERVERS_PER_SERVICE:
            raise _too_many(f"real servers in {service.label}", len(service.real_servers), MAX_SERVERS_PER_SERVICE)
    total = sum(len(service.real_servers) for service in configuration.services)
    if total > MAX_SERVERS:
        raise _too_many("real servers", total, MAX_SERVERS)


def _too_many(what: str, count: int, limit: int) -> EditError:
    return EditError(f"{count} {what} are too many: a director holds {limit}", "use another director for it", "invalid")


def _edit_service(draft: Draft, edit: ServiceEdit) -> None:
    present = draft.services.get(edit.service)
    if edit.kind == "add_service" and present is not None:
        raise EditError(f"service {edit.service} exists already", "edit it, or delete it first", "service_exists")
    if edit.kind == "edit_service" and present is None:
        raise _no_such_service(edit.service)
    _require_scheduler(edit)
    service = present or service_of(edit.service)
    _require_persistence(edit, service.virtual_address)
    draft.services[edit.service] = replace(
        service,
        scheduler=edit.scheduler,
        scheduler_flags=tuple(dict.fromkeys(edit.scheduler_flags)),
        persistence=_persistence(edit, service.persistence),
        one_packet=edit.one_packet,
    )


def _persistence(edit: ServiceEdit, before: Persistence | None) -> Persistence | None:
    if edit.persistence_s is None:
        return None
    prefix6 = (before or Persistence()).prefix6 if edit.persistence_prefix6 is None else edit.persistence_prefix6
    return Persistence(edit.persistence_s, edit.persistence_prefix, prefix6)


def _require_scheduler(edit: ServiceEdit) -> None:
    scheduler = SCHEDULERS.get(edit.scheduler)
    if scheduler is None:
        remedy = known_words(edit.scheduler, list(SCHEDULERS))
        raise EditError(f"'{edit.scheduler}' is no scheduler", remedy, "no_such_scheduler")
    for flag in edit.scheduler_flags:
        if flag not in scheduler.flags:
            remedy = known_words(flag, scheduler.flags) if scheduler.flags else "leave it out: this scheduler has none"
            raise EditError(f"'{flag}' is no flag of scheduler {edit.scheduler}", remedy, "invalid")


def _require_persistence(edit: ServiceEdit, virtual_address: VirtualAddress | None) -> None:
    if edit.persistence_s is not None and not 1 <= edit.persistence_s <= MAX_TIMEOUT_S:
        problem = f"a persistence time-out of {edit.persistence_s:g} s cannot be kept"
        raise EditError(problem, f"use 1 to {MAX_TIMEOUT_S} seconds", "invalid")
    if not 1 <= edit.persistence_prefix <= values.IPV4_BITS:
        raise EditError(f"/{edit.persistence_prefix} is no netmask to tell clients apart", "use 1 to 32", "invalid")
    if edit.persistence_prefix6 is not None and not 1 <= edit.persistence_prefix6 <= values.IPV6_BITS:
        raise EditError(f"/{edit.persistence_prefix6} is no prefix to tell clients apart", "use 1 to 128", "invalid")
    if virtual_address is not None and virtual_address.port == 0 and edit.persistence_s is None:
        raise EditError(
            f"service {edit.service} takes every port and is not persistent", "give it a port or persistence", "invalid"
        )
    if edit.one_packet and virtual_address is not None and virtual_address.protocol != "udp":
        raise EditError(
            f"service {edit.service} is not UDP", "one-packet scheduling is for UDP: leave it out", "invalid"
        )


def _delete_service(draft: Draft, edit: DeleteService) -> None:
    if edit.service not in draft.services:
        raise _no_such_service(edit.service)
    draft.drop(edit.service)


def _clear(draft: Draft, _edit: Clear) -> None:
    for label in list(draft.services):
        draft.drop(label)


def _edit_server(draft: Draft, edit: ServerEdit) -> None:
    if edit.service not in draft.services:
        raise _no_such_service(edit.service)
    servers = draft.servers(edit.service)
    address = _address(edit.address)
    present = servers.get(address)
    if edit.kind == "add_server" and present is not None:
        raise EditError(
            f"service {edit.service} has a real server {edit.address} already",
            "edit it, or delete it first",
            "server_exists",
        )
    if edit.kind == "edit_server" and present is None:
        raise _no_such_server(edit.service, edit.address)
    _require_weight(edit.weight)
    _require_thresholds(edit)
    server = present or _new_server(draft, edit, address)
    servers[address] = replace(
        server, weight=edit.weight, upper_threshold=edit.upper_threshold, lower_threshold=edit.lower_threshold
    )


def _new_server(draft: Draft, edit: ServerEdit, address: Address) -> RealServer:
    name = draft.names.get(address)
    if name is None:
        name = draft.names[address] = edit.name or str(address)
        with _in_words(f"real server name '{name}'"):
            values.server_name(name)
    if name in draft.taken(edit.service):
        raise EditError(
            f"service {edit.service} has a real server '{name}' of another address already",
            "a name is one box: give this one another name",
            "server_exists",
        )
    draft.taken(edit.service).add(name)
    return RealServer(name, address)


def _delete_server(draft: Draft, edit: DeleteServer) -> None:
    if edit.service not in draft.services:
        raise _no_such_service(edit.service)
    removed = draft.servers(edit.service).pop(_address(edit.address), None)
    if removed is None:
        raise _no_such_server(edit.service, edit.address)
    draft.taken(edit.service).discard(removed.name)


def _weigh(draft: Draft, edit: Weigh) -> None:
    _require_weight(edit.weight)
    _change_servers(draft, edit.server, edit.service, {"weight": edit.weight})


def _administer(draft: Draft, edit: Administer) -> None:
    until = None if edit.until_s is None else datetime.fromtimestamp(edit.until_s, UTC)
    changes = {"admin": _ADMIN[edit.kind], "drain_until": until if edit.kind == "drain" else None}
    _change_servers(draft, edit.server, edit.service, changes)


def _change_servers(draft: Draft, name: str, label: str | None, changes: dict[str, Any]) -> None:
    """Change the real servers of a name, in one service or in all."""
    if label is not None and label not in draft.services:
        raise _no_such_service(label)
    found = False
    for each in list(draft.services) if label is None else [label]:
        if not any(server.name == name for server in draft.listed(each)):
            continue
        servers = draft.servers(each)
        for address, server in servers.items():
            if server.name == name:
                servers[address] = replace(server, **changes)
                found = True
    if not found:
        raise _no_such_server(label or "any service", name)


def _set_timeouts(draft: Draft, edit: SetTimeouts) -> None:
    given = {State.ESTABLISHED: edit.tcp, State.FIN_WAIT: edit.tcp_fin, State.UDP: edit.udp}
    for seconds in given.values():
        if seconds and not 1 <= seconds <= MAX_TIMEOUT_S:
            raise EditError(
                f"a time-out of {seconds:g} s cannot be kept", f"use 1 to {MAX_TIMEOUT_S} seconds", "invalid"
            )
    director = draft.configuration.director
    changed = director.timeouts.seconds | {state: float(seconds) for state, seconds in given.items() if seconds}
    timeouts = replace(director.timeouts, seconds=changed)
    draft.configuration = replace(draft.configuration, director=replace(director, timeouts=timeouts))


def _edit_mark(draft: Draft, edit: MarkEdit) -> None:
    rule = _mark_rule(draft, edit)
    rules = draft.configuration.mark_rules
    if edit.kind == "add_mark":
        if rule in rules:
            raise EditError(f"this rule gives mark {edit.mark} already", "there is nothing to add", "rule_exists")
        after = (*rules, rule)
    else:
        if rule not in rules:
            raise EditError(
                f"no rule of its own gives mark {edit.mark} to that",
                "see `lasthop dump`; the matches of a [[service]] are its file's to change",
                "no_such_rule",
            )
        after = tuple(each for each in rules if each != rule)
    draft.configuration = replace(draft.configuration, mark_rules=after)


def _mark_rule(draft: Draft, edit: MarkEdit) -> MarkRule:
    if not 1 <= edit.mark <= MAX_MARK:
        raise EditError(f"{edit.mark} is no mark", f"use 1 to {MAX_MARK}", "invalid")
    words: dict[str, object] = {key: getattr(edit, key) for key in _MARK_WORDS if getattr(edit, key)}
    if edit.dscp is not None:
        words["dscp"] = edit.dscp
    match, mistakes = match_of(words, draft.configuration.legs)
    if match is None:
        raise EditError("; ".join(f"{m.key} = {m.value}: {m.problem}" for m in mistakes), mistakes[0].remedy, "invalid")
    box = edit.source_real_server
    if box and box != ANY_REAL_SERVER and box not in set(draft.names.values()):
        raise EditError(
            f"source_real_server '{box}' is no real server of any service", "see lasthop servers", "invalid"
        )
    return MarkRule(edit.mark, match)


def _require_weight(weight: int) -> None:
    if not 0 <= weight <= MAX_WEIGHT:
        raise EditError(f"{weight} is no weight", f"use 0 to {MAX_WEIGHT}", "invalid")


def _require_thresholds(edit: ServerEdit) -> None:
    if not (0 <= edit.upper_threshold <= MAX_WEIGHT and 0 <= edit.lower_threshold <= MAX_WEIGHT):
        raise EditError("a threshold is out of range", f"use 0 to {MAX_WEIGHT} connections", "invalid")
    if edit.lower_threshold > edit.upper_threshold:
        raise EditError(
            f"lower threshold {edit.lower_threshold} is above the upper one, {edit.upper_threshold}",
            "give an upper threshold that is not below the lower",
            "invalid",
        )


@lru_cache(maxsize=REMEMBERED_ADDRESSES)
def _address(text: str) -> Address:
    try:
        return values.address(text)
    except PydanticCustomError as error:
        raise _explained(f"'{text}'", error) from None


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    try:
        yield
    except PydanticCustomError as error:
        raise _explained(what, error) from None


def _explained(what: str, error: PydanticCustomError) -> EditError:
    context = error.context or {}
    return EditError(f"{what} {context['problem']}", str(context["remedy"]), "invalid")


def _no_such_service(label: str) -> EditError:
    return EditError(f"there is no service {label}", "see lasthop services, or add it first", "no_such_service")


def _no_such_server(label: str, server: str) -> EditError:
    return EditError(f"there is no real server {server} in {label}", "see lasthop servers", "no_such_server")


_MAKE: dict[type[Any], Callable[[Draft, Any], None]] = {
    ServiceEdit: _edit_service,
    DeleteService: _delete_service,
    Clear: _clear,
    ServerEdit: _edit_server,
    DeleteServer: _delete_server,
    Weigh: _weigh,
    Administer: _administer,
    SetTimeouts: _set_timeouts,
    MarkEdit: _edit_mark,
}
