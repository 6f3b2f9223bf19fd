"""The director: the one owner of desired and observed state.

Owns the step observation -> plan -> publish, and what is desired. Decisions are in `lasthop.policy`,
the kernel is behind `DataPlane`; `lasthop.director.watch` brings observations, what a director says of
itself is in `lasthop.director.answers`.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from lasthop.config import parse
from lasthop.director.advice import warnings_of
from lasthop.director.answers import Answers
from lasthop.director.changes import require_room, require_same_director, stranded
from lasthop.director.edits import edited
from lasthop.director.sums import Sums
from lasthop.director.surroundings import surroundings_of
from lasthop.director.telling import (
    tell_altered,
    tell_applied,
    tell_changes,
    tell_edits,
    tell_health,
    tell_legs_gone,
    tell_refused,
)
from lasthop.director.ways import Ways
from lasthop.errors import LasthopError, NetworkError
from lasthop.model.change import ChangeReport
from lasthop.model.director import DEFAULT_CONNECTIONS, OnDetach
from lasthop.model.edit import Administer, EditReport
from lasthop.model.event import on_behalf_of
from lasthop.model.health import Effective
from lasthop.network.interface import Observation
from lasthop.policy.compile import Compiler, addresses_to_resolve
from lasthop.policy.difference import difference
from lasthop.policy.health import effective, next_change
from lasthop.policy.refresh import refresh, standing
from lasthop.policy.slow_start import coming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lasthop.dataplane.interface import DataPlane, TableSize
    from lasthop.director.journal import Journal
    from lasthop.health.path import Way
    from lasthop.health.probe import Asked
    from lasthop.model.configuration import Configuration
    from lasthop.model.edit import Edit
    from lasthop.model.health import Key, Known
    from lasthop.model.real_server import Address
    from lasthop.policy.plan import Plan

_log = logging.getLogger(__name__)

Made = TypeVar("Made")

#: A resize that failed is tried again after this time.
_RETRY_S = 30.0


class Director(Answers):
    """Keeps a data plane as a configuration and the network say it shall be.

    `start` must succeed before anything else is called. Not thread-safe: one loop calls it.
    """

    def __init__(
        self,
        configuration: Configuration,
        file: str,
        dataplane: DataPlane,
        default_connections: int = DEFAULT_CONNECTIONS,
        journal: Journal | None = None,
    ) -> None:
        """`file` is where `configuration` is from; `default_connections` is the table's size if a file does not say.

        `journal` keeps the edits that are made; without it a restart forgets them.
        """
        super().__init__(configuration, file, dataplane)
        self._default_connections = default_connections
        self._journal = journal
        self._surroundings = surroundings_of(Observation())
        self._fitting = self._surroundings
        """The last that the configuration fitted."""
        self._compiler = Compiler()
        self._sums = Sums()
        self._resize_at = 0.0
        """When the table may be resized: not at once again after it failed."""
        self.on_detached: Callable[[], None] = lambda: None
        """Called by `detach`."""
        self.on_applied: list[Callable[[], None]] = []
        """Called when what is wanted was changed, by a file or by an edit."""
        self.look: Callable[[], Observation] | None = None
        """Reads the network at once."""
        self.health_of: Callable[[], Mapping[Key, Known]] = dict
        """What each check found."""
        self._come: dict[Key, float] = {}
        """When a real server was added or enabled, on the monotonic clock."""
        self._ways: Ways | None = None
        """Of the plan that is published, once somebody asks."""
        self.wanted: frozenset[tuple[int, Address]] = frozenset()
        """The (ifindex, address) pairs whose MAC addresses are needed."""

    def remember(self, known: Mapping[Key, Known], stand_ins: Mapping[str, str]) -> None:
        """Before `start`: what another process found, and whose backups had their places."""
        self.health_of = lambda: known
        self._health = Effective(stand_ins=stand_ins)

    def start(self, observation: Observation) -> None:
        """Publish for the first time. Raises LasthopError, and then all is as it was before."""
        self._health, _ = self._judged(self._configuration)
        try:
            self._reconcile(observation)
            self._desire(self._configuration)
            self._size = self._live.sweep()
        except LasthopError:
            if not self._live.adopted:
                self._live.detach()
            raise

    def observed(self, observation: Observation) -> None:
        """Publish what follows from an observation. A problem is kept for `status` and logged once."""
        if self.detached:
            return
        try:
            self._reconcile(observation)
        except LasthopError as error:
            self._note("plan", str(error))
        else:
            self._note("plan", "")
        self._note("network", "")

    def noted(self, about: str, error: LasthopError | None) -> None:
        """Something outside the director failed with `error`, or did not: what is published stays, `status` tells.

        `about` is ``network`` where it could not be read, ``neighbours`` where the kernel refused to resolve them;
        `lasthop.api.serving` has words of its own.
        """
        self._note(about, str(error) if error else "")

    def sweep(self) -> bool:
        """Expire and count for a millisecond. True: that ended a sweep, or nothing is left after `detach`."""
        if self.detached:
            return True
        began = time.monotonic()
        size = self._live.sweep_step()
        self._swept(time.monotonic() - began, whole=size is not None)
        self._size = size or self._size
        if size is not None:
            self._sums.look(self._live.counters(), self.asymmetric, time.monotonic())
        return size is not None

    def read_back(self) -> Iterator[None]:
        """Compare what is published with what is in the kernel, a part a step; tell what somebody else had changed."""
        problem = ""
        try:
            for altered in self._live.read_back():
                if altered.count:
                    tell_altered(altered)
                yield
                if self.detached:
                    return
        except LasthopError as error:
            problem = str(error)
        self._note("attachments", problem)

    def resize_step(self) -> bool:
        """Do the next few milliseconds of giving the table the configured size. False: nothing can be done now."""
        if self.detached or self._size is None or time.monotonic() < self._resize_at:
            return False
        try:
            going = self._resize(self._size)
        except LasthopError as error:
            self._note("table", str(error))
            self._resize_at = time.monotonic() + _RETRY_S
            return False
        self._note("table", "")
        return going

    def health_changed(self) -> None:
        """Publish what follows from the health of real servers now. A problem is kept for `status` and logged once."""
        if self.detached or self._plan is None:
            return
        found, _ = self._judged(self._configuration)
        if found == self._health:
            return
        self._take(found)
        try:
            plan, _ = self._planned(self._configuration, found)
            self._publish(plan)
        except LasthopError as error:
            self._note("plan", str(error))

    def way(self, asked: Asked) -> Way | str:
        """The way to a real server for a path probe, or why there is none."""
        if self._ways is None and self._plan is not None:
            self._ways = Ways(self._plan, self._surroundings)
        return self._ways.way(asked) if self._ways else "the director has not started"

    def next_change(self) -> float | None:
        """When time alone makes something else of the real servers' health, on the monotonic clock; None: never."""
        return next_change(self._configuration.services, self.health_of(), time.monotonic(), self._come)

    def drain_step(self) -> None:
        """Watch the real servers that are drained; disable those whose time is over."""
        if self.detached or not self._drains.keys():
            return
        now = time.monotonic()
        load = self._live.load(self._drains.keys())
        self._drains.sample(load, now)
        for service, name in self._drains.due(now):
            try:
                with on_behalf_of("the drain's deadline"):
                    self.edit([Administer("disable", name, service)])
            except LasthopError as error:
                self._note("drain", str(error))
            else:
                self._note("drain", "")

    def apply(self, text: str, file: str, *, dry_run: bool = False) -> ChangeReport:
        """See Operations.apply."""
        try:
            return self._applied(text, file, dry_run=dry_run)
        except LasthopError as error:
            if not dry_run:
                tell_refused(file, error)
            raise

    def _applied(self, text: str, file: str, *, dry_run: bool) -> ChangeReport:
        live, (_, size) = self._live, self._ready()
        given = parse(text, file, self._default_connections)
        require_same_director(self._configuration, given, file)
        compiler = Compiler() if dry_run else self._compiler
        health, come = self._judged(given)
        plan = self._after_a_look(lambda: compiler.plan(given, self._surroundings, health))
        changes = difference(self._configuration, given)
        if given.director.connections != self._configuration.director.connections:
            require_room(size, live.resizing, given.director.connections)
        if not dry_run:
            self._publish(plan)
            tell_applied(file, changes)
            self._file, self._come = file, come
            self._take(health)
            self._desire(given)
            self._missing = frozenset()
            self._resize_at = 0.0
            self._note("plan", "")
            self._keep(lambda journal: journal.begin(text))
            self._tell_applied()
        return ChangeReport(
            director=given.director.name,
            configuration=file,
            applied=not dry_run,
            changes=changes,
            stranded=stranded(plan, live.load()),
        )

    def edit(self, edits: Sequence[Edit]) -> EditReport:
        """See Operations.edit."""
        self._ready()
        after = edited(self._configuration, edits)
        health, come = self._judged(after)
        plan, lacking = self._after_a_look(lambda: self._planned(after, health))
        self._publish(plan)
        tell_edits(edits)
        self._come = come
        self._take(health)
        self._desire(after)
        self._note("plan", str(lacking or ""))
        problem = self._keep(lambda journal: journal.append(edits, after))
        self._tell_applied()
        warnings = [*warnings_of(after, edits), *([problem] if problem else [])]
        return EditReport(director=after.director.name, warnings=warnings)

    def detach(self, *, closed: bool | None = None) -> bool:
        """See Operations.detach."""
        self._captures.end()
        close = self._configuration.director.on_detach is OnDetach.CLOSED if closed is None else closed
        self._live.detach(closed=close)
        self.detached = True
        self.on_detached()
        return close

    def close(self) -> None:
        """Let go; the data plane goes on forwarding."""
        if not self.detached:
            self._dataplane.close()

    def _resize(self, size: TableSize) -> bool:
        wanted = self._configuration.director.connections
        if self._live.resizing is None:
            if size.maximum == wanted:
                return False
            require_room(size, None, wanted)
            self._live.resize(wanted)
        if self._live.resize_step() is not None:
            return True
        self._size = self._live.sweep()
        return self._size.maximum != wanted

    def _reconcile(self, observation: Observation) -> None:
        self._surroundings = surroundings = surroundings_of(observation)
        legs, before = self._configuration.legs, self._missing
        self._missing = frozenset(leg.interface for leg in legs) - surroundings.links.keys()
        tell_legs_gone(legs, before, self._missing)
        try:
            plan, lacking = self._planned(self._configuration, self._health)
        except NetworkError:
            if self._plan is not None:
                self._publish(refresh(self._plan, surroundings))
            raise
        self._publish(plan)
        if lacking is not None:
            raise lacking

    def _planned(self, configuration: Configuration, health: Effective) -> tuple[Plan, NetworkError | None]:
        """The plan of a configuration; where the machine lacks what it had, as if that was down, and what it lacks."""
        try:
            plan = self._compiler.plan(configuration, self._surroundings, health)
        except NetworkError as error:
            stood = standing(self._surroundings, self._fitting, configuration.legs)
            if stood == self._surroundings:
                raise
            return self._compiler.plan(configuration, stood, health), error
        self._fitting = self._surroundings
        return plan, None

    def _after_a_look(self, make: Callable[[], Made]) -> Made:
        """What `make` makes; if the machine lacks something, once more: it may have been given it a moment ago."""
        try:
            return make()
        except NetworkError:
            before = self._surroundings
            if self.look is None or (seen := surroundings_of(self.look())) == before:
                raise
            self._surroundings = seen
            return make()

    def _tell_applied(self) -> None:
        for told in self.on_applied:
            told()

    def _judged(self, configuration: Configuration) -> tuple[Effective, dict[Key, float]]:
        """What health makes of a configuration that would follow the present one, and who comes with it."""
        now = time.monotonic()
        come = coming(self._come, self._configuration.services, configuration.services, now)
        return effective(configuration.services, self.health_of(), now, self._health, come), come

    def _take(self, health: Effective) -> None:
        before, self._health = self._health, health
        tell_health(before, health)

    def _desire(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._drains.follow(configuration, time.monotonic(), time.time())

    def _publish(self, plan: Plan) -> None:
        self._live.publish(plan)
        self._live.probing.know(self._configuration.director.probe_port)
        self._ways = None
        if self._plan is not None:
            tell_changes(self._plan, plan)
        if self._plan is None or (plan.server_addresses, plan.legs) != (self._plan.server_addresses, self._plan.legs):
            self.wanted = addresses_to_resolve(plan)
        self._plan = plan

    def _keep(self, write: Callable[[Journal], None]) -> str:
        """Have the journal write; what it says if it can't, which `status` tells too."""
        problem = ""
        try:
            if self._journal is not None:
                write(self._journal)
        except LasthopError as error:
            problem = str(error)
        self._note("state file", problem)
        return problem
