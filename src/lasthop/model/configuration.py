"""Everything one configuration file says: the desired state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lasthop.model.access import Access

if TYPE_CHECKING:
    from lasthop.model.director import Director
    from lasthop.model.leg import Leg
    from lasthop.model.rule import MarkRule, PassRule
    from lasthop.model.service import Service


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that has been checked: names are unique, references lead somewhere."""

    director: Director
    legs: tuple[Leg, ...]
    services: tuple[Service, ...]
    pass_rules: tuple[PassRule, ...] = ()
    mark_rules: tuple[MarkRule, ...] = ()
    access: Access = field(default_factory=Access)
