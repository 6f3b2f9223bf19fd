"""The order of the steps, from a frame to its outcome.

Must not be here: what a step decides.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.packet.model import choice, connection, death, fragment, frame, last_hop, packet, way
from tests.packet.model.memory import Memory, NoteKind
from tests.packet.model.nouns import Connection, Exit, Hop, Outcome, Server

if TYPE_CHECKING:
    from tests.packet.model.memory import DatagramKey
    from tests.packet.model.nouns import Key, Leg, Link, Packet, Place, Service

_PROTOCOLS_OF_SLOPPINESS = {6: "tcp", 132: "sctp"}


class Model(Memory):
    """A director."""

    def receive(self, interface: str, raw: bytes) -> Outcome:
        """What becomes of a frame that comes in through an interface."""
        self.events = Counter()
        passage = Passage(self, interface, raw)
        try:
            reason, hop = passage.take()
            leg = self.legs[hop.leg]
            sent: bytes | None = frame.sent(raw, passage.link, leg, hop)
            place: Place | None = hop.place
        except Exit as leaves:
            reason, place, sent = leaves.reason, None, None
            if reason == "KERNEL_BYPASS":
                passage.leave_fragments_too()
        return Outcome(reason, place, sent, dict(self.events), passage.key, passage.over)


class Passage:
    """One frame on its way through a director."""

    link: Link
    leg: Leg
    packet: Packet

    def __init__(self, model: Model, interface: str, raw: bytes) -> None:
        self.model, self.interface, self.raw = model, interface, raw
        self.key: Key | None = None
        self.over = self.moved = False

    def take(self) -> tuple[str, Hop]:
        """The reason counted, and the hop; raises Exit where it is not forwarded."""
        self.link = frame.read(self.raw)
        self.leg = frame.leg_of(self.model.legs.values(), self.interface, self.link)
        frame.require_ours(self.leg, self.link)
        self.packet = packet.read(self.raw[self.link.ip :], self.link.ethertype)
        if self.packet.error:
            return self._error()
        if self.packet.later:
            return self._later()
        self.key = self.packet.key(self.leg.zone)
        known = self._find(self.key)
        if known is not None:
            return self._known(known)
        return self._new()

    def leave_fragments_too(self) -> None:
        """What bypasses the firewalls does so with the rest of its datagram."""
        if not (self.packet.later or self.packet.error):
            fragment.note_passed(self.model, self._datagram)

    @property
    def came(self) -> Place:
        return self.leg.name, self.link.source

    @property
    def _datagram(self) -> DatagramKey | None:
        return fragment.datagram(self.packet, self.leg.zone)

    def _way(self, hop: Hop | None) -> Hop:
        way.require(self.model, hop, self.came, self.packet, self.link)
        assert hop is not None
        return hop

    def _find(self, key: Key) -> Connection | None:
        """The connection of the packet, once those that are over are out of the way."""
        found = self.model.table.get(key)
        if found is None:
            return None
        if self.model.expired(found):
            self._end("EVENT_EXPIRED")
        elif connection.is_over(found, self.packet):
            self._end("EVENT_REUSED")
        elif self._is_moved(found):
            self.moved = True
            self._end("EVENT_MOVED")
        else:
            return found
        return None

    def _is_moved(self, found: Connection) -> bool:
        request = self.packet.sender == found.source
        return death.policy(self.model, found, self.packet, request=request) == death.MOVED

    def _end(self, event: str) -> None:
        assert self.key is not None
        del self.model.table[self.key]
        self.model.events[event] += 1
        self.over = True

    def _known(self, known: Connection) -> tuple[str, Hop]:
        request = self.packet.sender == known.source
        self._leave_if_fated(known, request=request)
        hop = self._onward(known, request=request)
        if request:
            last_hop.follow(self.model, known, self.packet, self.leg, self.link.source)
        else:
            self._turn_back(known, hop)
            self._look_where_from(known)
        connection.advance(self.model, known, self.packet, request=request)
        fragment.note_first(self.model, self._datagram, hop, self.key)
        return ("FORWARDED_REQUEST" if request else "FORWARDED_RESPONSE"), hop

    def _leave_if_fated(self, known: Connection, *, request: bool) -> None:
        fate = death.fate(self.model, known, self.packet, request=request)
        if fate not in {"", death.MOVED}:
            raise Exit(fate)

    def _onward(self, known: Connection, *, request: bool) -> Hop:
        if request:
            return self._way(known.forward)
        back = death.back(self.model, known, self.packet, self.leg.zone)
        self.over = back is not known.last
        return self._way(back)

    def _turn_back(self, known: Connection, hop: Hop) -> None:
        """Responses go another way than to the last hop: so it is the last hop from now on."""
        if hop is not known.last:
            known.last = hop
            self.model.events["EVENT_LAST_HOP_MOVED"] += 1

    def _look_where_from(self, known: Connection) -> None:
        """A response is to come from where the requests go."""
        box = self.model.box_of(self.came)
        expected = known.forward or Hop("", b"")
        if self.came == expected.place or box == expected.box != "":
            return
        if known.forward is None and not box:
            return
        self.model.events["EVENT_ASYMMETRIC" if box else "EVENT_RESPONSE_ELSEWHERE"] += 1

    def _new(self) -> tuple[str, Hop]:
        found = self._classified()
        if isinstance(found, Server):
            return self._addressed(found)
        try:
            return self._assigned(found)
        except Exit as leaves:
            if leaves.reason == "KERNEL_BYPASS":
                self._bypass()
            raise

    def _bypass(self) -> None:
        """Nobody is there: the kernel's routes have the connection, for good."""
        model, told = self.model, self.packet
        if told.reset:
            return
        back = last_hop.place_for(model, self.leg, self.link.source, told.source)
        if not last_hop.may_become(model, self.leg, back):
            model.events["EVENT_HOP_DENIED"] += 1
            return
        made = self._entry("", "", None, back)
        made.flags.add("BYPASSED")
        made.flags.discard("MOVED")

    def _assigned(self, found: Service) -> tuple[str, Hop]:
        model, told = self.model, self.packet
        name = choice.by_rendezvous(found, told)
        if told.reset:
            hop = self._way(found.servers[name].hop)
            fragment.note_first(model, self._datagram, hop, self.key, (found.label, name))
            return "FORWARDED_STRAY", hop
        strict = _PROTOCOLS_OF_SLOPPINESS.get(told.protocol, "") not in {"", *model.sloppy}
        if not told.opening and strict and not self.moved:
            raise Exit("DROP_MIDSTREAM")
        back = last_hop.place_for(model, self.leg, self.link.source, told.source)
        if not last_hop.may_become(model, self.leg, back):
            hop = self._way(found.servers[name].hop)
            model.events["EVENT_HOP_DENIED"] += 1
            fragment.note_first(model, self._datagram, hop, self.key, (found.label, name))
            return "FORWARDED_UNTRACKED", hop
        if not told.opening:
            hop = self._way(found.servers[name].hop)
            return "FORWARDED_MIDSTREAM", self._remember(found.label, name, hop, back)
        chosen = choice.Choice(model, found, self.leg.zone, told, self._datagram)
        hop = self._way(found.servers[chosen.name].hop)
        chosen.settle()
        return "FORWARDED_OPENING", self._remember(found.label, chosen.name, hop, back, persistent=chosen.persistent)

    def _classified(self) -> Service | Server:
        """What takes a packet of no connection. To the kernel by a pass rule, the rest of its datagram follows it."""
        try:
            return choice.classify(self.model, self.leg, self.came, self.packet)
        except Exit as leaves:
            if leaves.reason == "KERNEL_PASS_RULE":
                fragment.note_passed(self.model, self._datagram)
            raise

    def _addressed(self, server: Server) -> tuple[str, Hop]:
        """To a real server's own address: no service's."""
        hop = self._way(server.hop)
        back = last_hop.place_for(self.model, self.leg, self.link.source, self.packet.source)
        if self.packet.reset:
            fragment.note_first(self.model, self._datagram, hop, self.key, ("", server.name))
            return "FORWARDED_STRAY", hop
        if not last_hop.may_become(self.model, self.leg, back):
            self.model.events["EVENT_HOP_DENIED"] += 1
            fragment.note_first(self.model, self._datagram, hop, self.key, ("", server.name))
            return "FORWARDED_UNTRACKED", hop
        reason = "FORWARDED_OPENING" if self.packet.opening else "FORWARDED_MIDSTREAM"
        return reason, self._remember("", server.name, hop, back)

    def _remember(self, service: str, server: str, hop: Hop, back: Place, *, persistent: bool = False) -> Hop:
        made = self._entry(service, server, hop, back)
        made.flags |= {"PERSISTENT"} if persistent else set()
        self.model.note_pair(made.key)
        fragment.note_first(self.model, self._datagram, hop, self.key, (service, server))
        return hop

    def _entry(self, service: str, server: str, hop: Hop | None, back: Place) -> Connection:
        model, told = self.model, self.packet
        assert self.key is not None
        last = last_hop.learn(model, back)
        made = Connection(self.key, told.sender, service, server, hop, last, model.now, model.now)
        model.opened += 1
        made.turn = model.opened
        made.flags |= {"MOVED"} if self.moved else set()
        made.state = connection.next_state(connection.first_state(told), told, "input_only")
        made.packets[0], made.bytes[0] = 1, told.size
        model.table[self.key] = made
        return made

    def _later(self) -> tuple[str, Hop]:
        """A later fragment: where its datagram's note says, or where its first one will be sent."""
        datagram = self._datagram
        assert datagram is not None
        note = fragment.noted(self.model, datagram)
        # Without a note, the key of a protocol that has no ports is whole all the same.
        self.key = self.packet.key(self.leg.zone) if note is None else note.key
        known = self._still_known(self.key)
        if known is not None:
            return self._later_of(known)
        if note is None:
            return self._early(datagram)
        if note.kind is NoteKind.PASSED:
            raise Exit("KERNEL_PASS_RULE")
        return "FORWARDED_FRAGMENT", self._way(note.hop)

    def _later_of(self, known: Connection) -> tuple[str, Hop]:
        request = self.packet.source == known.source[0]
        self._leave_if_fated(known, request=request)
        hop = self._onward(known, request=request)
        if not request:
            self._turn_back(known, hop)
        connection.count(self.model, known, self.packet, request=request)
        return "FORWARDED_FRAGMENT", hop

    def _still_known(self, key: Key | None) -> Connection | None:
        """The connection of a later fragment; one that is over ends as with any packet, but none begins anew."""
        known = None if key is None else self.model.table.get(key)
        if known is None:
            return None
        if self.model.expired(known):
            self._end("EVENT_EXPIRED")
            return None
        return known

    def _early(self, key: DatagramKey) -> tuple[str, Hop]:
        found = choice.classify(self.model, self.leg, self.came, self.packet)
        if isinstance(found, Server):
            hop = self._way(found.hop)
            self.model.events["EVENT_FRAGMENT_EARLY"] += 1
            fragment.note_early(self.model, key, hop, ("", found.name))
            return "FORWARDED_STRAY", hop
        name = choice.for_early(self.model, found, self.packet)
        hop = self._way(found.servers[name].hop)
        self.model.events["EVENT_FRAGMENT_EARLY"] += 1
        fragment.note_early(self.model, key, hop, (found.label, name))
        return "FORWARDED_STRAY", hop

    def _error(self) -> tuple[str, Hop]:
        """An ICMP error: the way of the connection it is about, in the direction it goes itself."""
        known = self._quoted()
        if known is None:
            return self._stray()
        self.key = known.key
        request = self.packet.source == known.source[0]
        if death.policy(self.model, known, self.packet, request=request) == death.MOVED:
            self.over = True
            return self._stray()
        self._leave_if_fated(known, request=request)
        hop = self._onward(known, request=request)
        return "FORWARDED_RELATED", self._noted_error(hop)

    def _quoted(self) -> Connection | None:
        """The connection that an error is about."""
        datagram = fragment.quoted_datagram(self.packet, self.leg.zone)
        note = fragment.noted(self.model, datagram)
        self.key = self.packet.key(self.leg.zone) if note is None or note.key is None else note.key
        known = self.model.live(self.key)
        self.over = known is None and self.key in self.model.table
        return known

    def _stray(self) -> tuple[str, Hop]:
        found: Service | Server = choice.classify(self.model, self.leg, self.came, self.packet)
        if isinstance(found, Server):
            return "FORWARDED_STRAY", self._noted_error(self._way(found.hop))
        name = choice.by_rendezvous(found, self.packet)
        return "FORWARDED_STRAY", self._noted_error(self._way(found.servers[name].hop))

    def _noted_error(self, hop: Hop) -> Hop:
        """An error that is a first fragment makes a note as any: of its own datagram, not of the quoted one."""
        fragment.note_error(self.model, self._datagram, hop)
        return hop
