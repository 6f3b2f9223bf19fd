"""One match given by a command instead of a file.

Owns the translation of a command's words into a `Match`, by the same schema and the same checks as a file's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from lasthop.config import complaint
from lasthop.config.build import build_match
from lasthop.config.crosscheck import cross_check
from lasthop.config.document import report
from lasthop.config.schema import MatchSection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lasthop.errors import Mistake
    from lasthop.model.leg import Leg
    from lasthop.model.rule import Match


def match_of(words: Mapping[str, object], legs: Iterable[Leg]) -> tuple[Match | None, list[Mistake]]:
    """Return the match that `words` say, keyed as in a file, or None and the mistakes in them."""
    known = [{"name": leg.name, "zone": leg.zone} for leg in legs]
    document: dict[str, object] = {"leg": known, "pass": [{"match": [dict(words)]}]}
    place = ("pass", 0, "match", 0)
    findings = [finding for finding in cross_check(document) if finding.place[: len(place)] == place]
    try:
        section = MatchSection.model_validate(dict(words))
    except ValidationError as error:
        found = complaint.findings(error, place)
        return None, _shortened(report([*found, *findings], document))
    if findings:
        return None, _shortened(report(findings, document))
    return build_match(section), []


def _shortened(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """Return mistakes whose keys are the match's own."""
    return [
        type(mistake)(mistake.key.removeprefix("pass[0].match[0]."), mistake.value, mistake.problem, mistake.remedy)
        for mistake in mistakes
    ]
