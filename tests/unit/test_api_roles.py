"""Who may do what over the unix socket: root writes, groups read or write, others stay out."""

from __future__ import annotations

import grp
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lasthop.api.fake import ServedDirector
from lasthop.api.gate import needed_role
from lasthop.api.peers import Groups, Peer, groups_of, peer_of
from lasthop.api.sample import sample
from lasthop.api.server import application
from lasthop.errors import DirectorError
from lasthop.model.access import Access, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

READERS, WRITERS, STRANGERS = "adm", "staff", "games"
USER = 12_345
SOURCE = Path(__file__).parents[2] / "src"
ROOT = pytest.mark.root


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that another user may look into, unlike those of pytest."""
    made = Path("/run") / f"lasthop-{os.getpid()}-{tmp_path_factory.mktemp('roles').name}"
    made.mkdir(mode=0o755)
    yield made
    for left in made.iterdir():
        left.unlink()
    made.rmdir()


def lasthop(folder: Path, *arguments: str, user: int = USER, group: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line as another user, with one more group than its own."""
    groups = ["--clear-groups"] if not group else ["--groups", str(grp.getgrnam(group).gr_gid)]
    code = f"from pathlib import Path; from lasthop.__main__ import main; main(Path({str(folder)!r}))"
    program = [sys.executable, "-c", code, "--director", "lb1", *arguments]
    return subprocess.run(
        ["setpriv", f"--reuid={user}", f"--regid={user}", *groups, *program],
        capture_output=True, text=True, timeout=60, check=False, cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def test_what_is_not_known_to_change_nothing_takes_a_writer() -> None:
    described = application(sample()).openapi()["paths"]
    readers = {
        (method.upper(), path)
        for path, methods in described.items()
        for method in methods
        if needed_role(method.upper(), path) is Role.READER
    }
    assert {method for method, path in readers if path != "/v1/explain"} == {"GET"}
    assert ("GET", "/v1/capture") not in readers
    assert needed_role("POST", "/v1/anything") is needed_role("PATCH", "/v1/status") is Role.WRITER


def test_root_and_the_directors_own_user_write_groups_do_what_they_may() -> None:
    groups = Groups(readers=10, writers=20)
    assert groups.role(Peer(1, 0, frozenset())) is Role.WRITER
    assert groups.role(Peer(1, os.geteuid(), frozenset())) is Role.WRITER
    assert groups.role(Peer(1, USER, frozenset({5, 10}))) is Role.READER
    assert groups.role(Peer(1, USER, frozenset({10, 20}))) is Role.WRITER
    assert groups.role(Peer(1, USER, frozenset({5}))) is None
    assert Groups().role(Peer(1, USER, frozenset({5}))) is None


def test_a_peer_is_who_connected() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert peer_of(one) == Peer(os.getpid(), os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


def test_a_group_that_is_not_there_is_told_with_its_key() -> None:
    with pytest.raises(DirectorError, match=r"\[api\] readers\): there is no such group; make it: groupadd --system"):
        groups_of(Access(readers="no-such-group"))
    assert groups_of(Access()).writers is None


@ROOT
def test_a_user_in_the_group_of_readers_asks_and_does_not_write(folder: Path) -> None:
    operations = sample()
    with ServedDirector(operations, folder / "lb1.sock", Access(readers=READERS, writers=WRITERS)):
        for noun in ("status", "servers", "connections", "counters", "hops", "dump"):
            assert (found := lasthop(folder, noun, group=READERS)).returncode == 0, found.stderr
        refused = lasthop(folder, "disable", "fw1", group=READERS)
        written = lasthop(folder, "disable", "fw1", group=WRITERS)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"lasthop: can't POST /v1/edit: uid {USER} (pid ")
    assert refused.stderr.endswith(
        "is a reader, and it takes a writer; run as root, or as a user in the group of writers "
        "(configuration file, [api] writers)\n"
    )
    assert written.returncode == 0, written.stderr
    assert len(operations.edited) == 1


@ROOT
def test_a_stranger_cannot_even_connect(folder: Path) -> None:
    with ServedDirector(sample(), folder / "lb1.sock", Access(readers=READERS)):
        refused = lasthop(folder, "status", group=STRANGERS)
        alone = lasthop(folder, "status")
    assert refused.returncode == alone.returncode == 1
    assert "Permission denied; run as root, or as a user in the group of readers" in refused.stderr


@ROOT
def test_another_group_takes_effect_at_once(folder: Path) -> None:
    with ServedDirector(sample(), folder / "lb1.sock", Access(readers=READERS)) as served:
        assert not served.adapt(Access(readers=WRITERS))
        assert lasthop(folder, "status", group=READERS).returncode == 1
        assert lasthop(folder, "status", group=WRITERS).returncode == 0
        (problem,) = served.adapt(Access(readers="no-such-group"))
        assert "no such group" in problem
        assert lasthop(folder, "status", group=WRITERS).returncode == 1
        assert (folder / "lb1.sock").stat().st_mode & 0o777 == 0o660


@ROOT
def test_who_was_let_in_by_the_file_alone_is_refused(folder: Path) -> None:
    """The mode of the socket is the outer door; the kernel's word on the peer is the inner one."""
    with ServedDirector(sample(), folder / "lb1.sock", Access(readers=READERS)):
        (folder / "lb1.sock").chmod(0o666)
        refused = lasthop(folder, "status", group=STRANGERS)
    assert refused.returncode == 1
    assert "may not use the API; run as root, or as a user in the group of readers" in refused.stderr
