"""Fixtures of the tests of the command line: a director to speak to, on a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from lasthop.__main__ import program
from lasthop.api.fake import FakeOperations, ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def operations() -> FakeOperations:
    """What director lb1 answers; a test may change it."""
    return sample()


@pytest.fixture
def lasthop(tmp_path: Path, operations: FakeOperations) -> Iterator[Callable[..., Result]]:
    """Run `lasthop ARGUMENTS` beside director lb1."""
    with ServedDirector(operations, socket_path("lb1", tmp_path)):
        yield lambda *arguments: CliRunner().invoke(program, arguments, obj=tmp_path, prog_name="lasthop")
