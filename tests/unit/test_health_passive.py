"""Passive signals: who is taken out by what was seen of it, and when it is tried again."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from lasthop.health.passive import SUFFIX, PassiveJudge, Seen
from lasthop.model.health import Check, Health, HealthCheck, Passive
from lasthop.model.real_server import RealServer
from lasthop.model.service import Service

LABEL = "FWM 1"
WELL, SILENT, FEW = Seen(100, 5), Seen(100, 95), Seen(5, 5)


def service(**passive: float) -> Service:
    boxes = tuple(RealServer(f"fw{n}", IPv4Address(f"10.0.1.1{n}")) for n in (1, 2, 3))
    return Service(1, (), boxes, health=HealthCheck(Check.PING, passive=Passive(**passive)))  # type: ignore[arg-type]  # numbers of either kind


def down(judge: PassiveJudge) -> set[str]:
    assert all(label == LABEL + SUFFIX for label, _ in judge.known())
    return {name for (_, name), known in judge.known().items() if known.health is Health.DOWN}


def judged(fw1: Seen, others: Seen, **passive: float) -> set[str]:
    judge = PassiveJudge()
    judge.judge(service(**passive), {(LABEL, "fw1"): fw1, (LABEL, "fw2"): others, (LABEL, "fw3"): others}, 5.0)
    return down(judge)


@pytest.mark.parametrize(
    ("seen", "others", "passive", "expected"),
    [
        (SILENT, WELL, {}, {"fw1"}),
        (Seen(100, 89), WELL, {}, set()),
        (Seen(100, 50), WELL, {"unanswered": 0.5}, {"fw1"}),
        (FEW, WELL, {}, set()),
        (FEW, WELL, {"connections": 5}, {"fw1"}),
        (SILENT, SILENT, {}, set()),
        (SILENT, Seen(), {}, set()),
        (SILENT, FEW, {}, set()),
        (Seen(100, 5, 9), WELL, {"asymmetric": 10}, set()),
        (Seen(100, 5, 10), WELL, {"asymmetric": 10}, {"fw1"}),
        (Seen(100, 5, 10), WELL, {}, set()),
    ],
)
def test_one_is_down_whose_connections_get_no_answer_while_others_do(
    seen: Seen, others: Seen, passive: dict[str, float], expected: set[str]
) -> None:
    assert judged(seen, others, **passive) == expected


def test_it_is_tried_again_after_a_time_that_grows_while_it_fails() -> None:
    judge, made = PassiveJudge(), service(retry=10.0)
    bad = {(LABEL, "fw1"): SILENT, (LABEL, "fw2"): WELL}
    judge.judge(made, bad, 0.0)
    (report, *_) = judge.reports(4.0)
    assert report.last == "95 of 100 new connections got no answer within 10 s; tried again in 6 s"
    judge.judge(made, bad, 9.9)
    assert down(judge) == {"fw1"}
    judge.judge(made, bad, 10.0)
    assert down(judge) == set()
    assert judge.known()[LABEL + SUFFIX, "fw1"].risen == 10.0, "a slow start begins"
    judge.judge(made, bad, 12.0)
    judge.judge(made, bad, 31.9)
    assert down(judge) == {"fw1"}
    judge.judge(made, bad, 32.0)
    assert down(judge) == set()
    judge.judge(made, {(LABEL, "fw1"): WELL, (LABEL, "fw2"): WELL}, 34.0)
    judge.judge(made, bad, 36.0)
    judge.judge(made, bad, 46.0)
    assert down(judge) == set(), "it had done well meanwhile"


def test_who_is_not_watched_any_more_is_forgotten() -> None:
    judge = PassiveJudge()
    judge.judge(service(), {(LABEL, "fw1"): SILENT, (LABEL, "fw2"): WELL}, 0.0)
    judge.keep({(LABEL, "fw2")})
    assert {name for _, name in judge.known()} == {"fw2"}
    assert down(judge) == set()
