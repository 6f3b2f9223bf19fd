"""Rise and fall: when single results make a real server up or down."""

from __future__ import annotations

import pytest

from lasthop.health.judgement import Judgement
from lasthop.model.health import Health

FAILED, ANSWERED = "refused", ""


def judged(results: str, health: Health = Health.UNKNOWN, rise: int = 2, fall: int = 3) -> tuple[str, Judgement]:
    """The health after each of the results, ``a`` for an answer, and what is known in the end."""
    judgement = Judgement(rise, fall, 0.0, health)
    course = ""
    for moment, result in enumerate(results, 1):
        judgement.note(ANSWERED if result == "a" else FAILED, float(moment))
        course += judgement.health.value[0]
    return course, judgement


@pytest.mark.parametrize(
    ("results", "health", "course"),
    [
        ("a", Health.UNKNOWN, "u"),
        ("fff", Health.UNKNOWN, "uud"),
        ("afff", Health.UNKNOWN, "uuud"),
        ("ffaff", Health.UP, "uuuuu"),
        ("fff", Health.UP, "uud"),
        ("aa", Health.DOWN, "du"),
        ("afaa", Health.DOWN, "dddu"),
        ("fffffaafff", Health.UP, "uudddduuud"),
    ],
)
def test_only_results_in_a_row_change_anything(results: str, health: Health, course: str) -> None:
    assert judged(results, health)[0] == course


def test_the_first_answer_after_the_start_is_enough_and_one_failure_is_not() -> None:
    assert judged("a", rise=5)[1].health is Health.UP
    assert judged("f", fall=1)[1].health is Health.DOWN
    assert judged("f")[1].health is Health.UNKNOWN


def test_it_says_when_health_changed_and_counts_everything() -> None:
    _, judgement = judged("aaffff")
    assert (judgement.health, judgement.since, judgement.streak) == (Health.DOWN, 5.0, 0)
    assert (judgement.answers, judgement.failures) == (2, 4)


def test_a_result_that_speaks_for_it_ends_the_streak() -> None:
    assert judged("ff", Health.UP)[1].streak == 2
    assert judged("ffa", Health.UP)[1].streak == 0
    assert judged("a", Health.DOWN)[1].streak == 1
