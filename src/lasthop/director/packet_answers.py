"""What a director answers about packets: what would become of one, and what crosses a leg."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.director.explaining import Explaining
from lasthop.director.knowledge import Knowledge
from lasthop.errors import DirectorError

if TYPE_CHECKING:
    from collections.abc import Collection

    from lasthop.director.captures import Capture
    from lasthop.model.described import Question
    from lasthop.model.explanation import ExplanationReport


class PacketAnswers(Knowledge):
    """A director as far as it can be asked about packets."""

    def explain(self, question: Question) -> ExplanationReport:
        """See Operations.explain."""
        plan, _ = self._ready()
        return Explaining(self._configuration, plan, self._live).explain(question)

    def capture(self, leg: str, directions: Collection[str]) -> Capture:
        """See Operations.capture."""
        self._ready()
        legs = [attachment.leg for attachment in self._live.attachments()]
        if leg not in legs:
            raise DirectorError(f"can't capture on leg {leg!r}: there is none of that name", f"legs: {', '.join(legs)}")
        return self._captures.begin([leg], directions)

    def end_captures(self) -> None:
        """Close all captures: the director is about to stop."""
        self._captures.end()
