"""The command `lasthop demo`, as a newcomer runs it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from typing import Any

import pytest

from lasthop.lab import ownership
from lasthop.lab.namespace import NAMESPACES, environment
from lasthop.lab.waiting import wait_until

PROGRAM = [sys.executable, "-m", "lasthop"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60, env=environment()
    )


def suffix_in(text: str) -> str:
    found = re.search(r"lh-([0-9a-f]{4})-client", text)
    assert found, text
    return found[1]


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr + done.stdout
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--mode", "xdp"],
        ["--one-box"],
        ["--one-box", "--mode", "xdp", "--firewalls", "2"],
        ["--one-arm", "--firewalls", "3"],
        ["--firewalls", "16"],
        ["--firewalls", "1", "--connections", "20"],
    ],
    ids=" ".join,
)
def test_the_demo_proves_symmetry_and_transparency(options: list[str]) -> None:
    done = run("demo", "--json", *options)
    outcome = answer(done)
    firewalls = int(options[options.index("--firewalls") + 1]) if "--firewalls" in options else 4
    assert outcome["connections"] == outcome["completed"] >= 20
    assert outcome["symmetric"] is True
    assert outcome["transparent"] is True
    assert list(outcome["per_firewall"]) == [f"fw{number}" for number in range(1, firewalls + 1)]
    for seen in outcome["per_firewall"].values():
        assert seen["requests"] == seen["responses"] > 0
    assert sum(seen["requests"] for seen in outcome["per_firewall"].values()) == outcome["connections"]
    assert not list(NAMESPACES.glob(f"lh-{suffix_in(done.stderr)}-*"))


@pytest.mark.parametrize("options", [[], ["--one-arm"]], ids=["two-box", "one-arm"])
def test_without_last_hops_the_demo_shows_the_failure(options: list[str]) -> None:
    outcome = answer(run("demo", "--json", "--no-last-hop", *options))
    failed = outcome["connections"] - outcome["completed"]
    # A quarter of the connections is opened from inside and has its last hop on LB1; of the others a quarter of the
    # responses finds its firewall by chance. That is 0.56, with a standard deviation of 0.027: here are six of them.
    assert 0.4 < failed / outcome["connections"] < 0.72
    assert outcome["symmetric"] is False
    assert sum(seen["dropped"] for seen in outcome["per_firewall"].values()) >= failed


@pytest.mark.parametrize("options", [[], ["--no-last-hop"]], ids=["last hops", "no last hops"])
def test_the_demo_is_plain_text_of_at_most_100_columns_in_a_pipe(options: list[str]) -> None:
    done = run("demo", "--connections", "40", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100, [
        line for line in done.stdout.splitlines() if len(line) > 100
    ]
    for word in ("fw4", "last hop", *([] if options else ["symmetric", "transparent", "complete"])):
        assert word in done.stdout


def test_a_kept_demo_stays_and_its_hints_work() -> None:
    done = run("demo", "--keep", "--connections", "40")
    suffix = suffix_in(done.stdout)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        hints = done.stdout.partition("The topology stays")[2].strip().splitlines()[1:]
        for hint in hints:
            if not hint.rstrip().endswith("bash") and "lab-clean" not in hint:
                subprocess.run(hint, shell=True, check=True, capture_output=True, timeout=20, env=environment())  # noqa: S602 - a hint is for a shell
    finally:
        for record in ownership.records():
            if record.suffix == suffix:
                record.remove()
    assert not list(NAMESPACES.glob(f"lh-{suffix}-*"))


def test_an_interrupted_demo_removes_everything() -> None:
    with subprocess.Popen(
        [*PROGRAM, "demo", "--connections", "5000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    ) as process:

        def record() -> ownership.Record | None:
            return next((record for record in ownership.records() if record.pid == process.pid), None)

        assert wait_until(record, timeout=20)
        built = record()
        assert built is not None
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert process.returncode != 0
    assert not list(NAMESPACES.glob(f"lh-{built.suffix}-*"))


@pytest.mark.parametrize(
    "options",
    [
        ["--one-box", "--one-arm"],
        ["--no-last-hop", "--one-box"],
        ["--no-last-hop", "--firewalls", "1"],
        ["--firewalls", "0"],
        ["--mode", "fast"],
    ],
    ids=" ".join,
)
def test_options_that_contradict_each_other_are_wrong_usage(options: list[str]) -> None:
    done = run("demo", *options)
    assert done.returncode == 2
    assert "Error:" in done.stderr


def test_a_lab_shell_runs_in_the_chosen_box_with_directors_at_hand() -> None:
    script = 'ip -brief address; "$PYTHON" -m lasthop status --json >/dev/null && echo answered'
    done = subprocess.run(
        [*PROGRAM, "lab-shell", "--firewalls", "2", "--namespace", "fw2", "--command", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment() | {"PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr
    assert "10.0.1.12/24" in done.stdout
    assert "answered" in done.stdout
