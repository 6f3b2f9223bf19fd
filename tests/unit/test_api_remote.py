"""The API over TCP: TLS, tokens, roles, and what is said when one of them is wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import json
import logging
import socket
import ssl
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trustme
from click.testing import CliRunner

from lasthop.__main__ import program
from lasthop.api import answering
from lasthop.api.client import Client, Credentials
from lasthop.api.fake import ServedDirector
from lasthop.api.sample import sample
from lasthop.api.serving import serve
from lasthop.errors import DirectorError
from lasthop.model.access import Access, Role
from lasthop.model.token import made
from tests.unit.certificates import ADDRESS, Site, free_port, issue, make_site, secret_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Keys take time to make: one set for the tests that change nothing of it."""
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def served(shared: Site, tmp_path: Path) -> Iterator[Site]:
    with ServedDirector(sample(), tmp_path / "lb1.sock", shared.access):
        yield shared


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def raw(site: Site, method: str, path: str, headers: dict[str, str]) -> tuple[int, http.client.HTTPMessage, bytes]:
    """As any HTTP client asks."""
    context = ssl.create_default_context(cafile=str(site.folder / "ca.crt"))
    with closing(http.client.HTTPSConnection(ADDRESS, site.access.listen[0].port, timeout=10, context=context)) as far:
        far.request(method, path, headers=headers)
        answer = far.getresponse()
        return answer.status, answer.headers, answer.read()


def test_a_reader_asks_over_tls_with_a_token(served: Site) -> None:
    assert served.client().status()["director"] == "lb1"
    assert len(served.client().connections()) == 4


def test_a_reader_does_not_write_and_a_writer_does(served: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(DirectorError) as refused:
        served.client().edit([{"kind": "disable", "server": "fw1"}])
    assert "can't POST /v1/edit: token 'reader' at 127.0.0.1 is a reader, and it takes a writer" in str(refused.value)
    assert "use a token whose line says writer" in str(refused.value)
    served.client("writer").edit([{"kind": "disable", "server": "fw1"}])
    assert "POST /v1/edit by token 'writer' at 127.0.0.1" in caplog.text


def test_a_reader_does_not_see_what_packets_carry(served: Site) -> None:
    with pytest.raises(DirectorError, match="it takes a writer"):
        next(served.client().capture("outside"))
    assert next(served.client("writer").capture("outside"))["frames"] == []


@pytest.mark.parametrize(
    ("header", "told", "challenge"),
    [
        (None, "no token was given", 'Bearer realm="lasthop"'),
        ("Basic cm9vdDpyb290", "malformed", 'Bearer realm="lasthop", error="invalid_request"'),
        ("Bearer", "malformed", 'Bearer realm="lasthop", error="invalid_request"'),
        ("Bearer ", "malformed", 'Bearer realm="lasthop", error="invalid_request"'),
        ("Bearer lasthop_wrong", "not one of this director's", 'Bearer realm="lasthop", error="invalid_token"'),
        ("Bearer \xff\xfe", "not one of this director's", 'Bearer realm="lasthop", error="invalid_token"'),
    ],
)
def test_without_a_good_token_nobody_learns_anything(
    header: str | None, told: str, challenge: str, served: Site
) -> None:
    for path in ("/v1/status", "/v1/openapi.json", "/metrics", "/nothing"):
        status, headers, body = raw(served, "GET", path, {} if header is None else {"Authorization": header})
        assert (status, headers["WWW-Authenticate"]) == (401, challenge)
        assert told in json.loads(body)["problem"]
        assert json.loads(body)["remedy"]


def test_a_long_body_without_a_token_is_answered_too(served: Site) -> None:
    client = Client(served.url, credentials=dataclasses.replace(served.credentials(), token_file=None))
    with pytest.raises(DirectorError, match=r"no token was given|closed the connection"):
        client.apply("x.toml", "#" * 8_000_000)
    with pytest.raises(DirectorError, match="it takes a writer"):
        served.client().apply("x.toml", "#" * 8_000_000)


def test_the_command_line_reaches_a_director_by_its_address(served: Site, tmp_path: Path) -> None:
    options = ["--director", served.url, "--token-file", str(served.folder / "reader.token")]
    trusted = ["--ca", str(served.folder / "ca.crt")]
    run = CliRunner().invoke
    assert run(program, [*options, *trusted, "services"], obj=tmp_path).exit_code == 0
    environment = {
        "LASTHOP_DIRECTOR": served.url,
        "LASTHOP_TOKEN_FILE": str(served.folder / "reader.token"),
        "LASTHOP_CA": str(served.folder / "ca.crt"),
    }
    assert run(program, ["status"], obj=tmp_path, env=environment).output.startswith("Director lb1")
    refused = run(program, [*options, *trusted, "detach"], obj=tmp_path)
    assert refused.exit_code == 1
    assert refused.output.count("\n") == 1
    assert "can't POST /v1/detach: token 'reader'" in refused.output
    strange = run(program, [*options, "status"], obj=tmp_path)
    assert (strange.exit_code, "--ca FILE" in strange.output) == (1, True)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://", "write it like https://"),
        ("ftp://127.0.0.1:8443", "write it like https://"),
        ("https://127.0.0.1:port", "write it like https://"),
        ("https://127.0.0.1:8443/v1", "write it like https://"),
        ("https://ops@127.0.0.1:8443", "--token-file"),
        ("http://192.0.2.10:8443", "in the clear"),
        ("http://lb1.example.com:8443", "in the clear"),
    ],
)
def test_an_address_that_cannot_be_is_refused_before_anything_is_sent(url: str, told: str) -> None:
    with pytest.raises(DirectorError, match=told):
        Client(url).status()


def test_a_token_that_others_may_read_is_not_sent(served: Site, tmp_path: Path) -> None:
    mine = secret_file(tmp_path / "mine", served.token())
    mine.chmod(0o644)
    credentials = dataclasses.replace(served.credentials(), token_file=str(mine))
    with pytest.raises(DirectorError, match=r"others may read it \(mode 0644\); take that from them: chmod o-rwx"):
        Client(served.url, credentials=credentials).status()
    secret_file(mine, "two words")
    with pytest.raises(DirectorError, match="2 words"):
        Client(served.url, credentials=credentials).status()


def test_a_certificate_of_nobody_we_trust_is_refused(served: Site) -> None:
    with pytest.raises(DirectorError, match=r"CA that is not trusted here; give the CA's certificate: --ca FILE"):
        Client(served.url, credentials=dataclasses.replace(served.credentials(), ca=None)).status()


def test_a_certificate_for_another_address_is_refused(site: Site, tmp_path: Path) -> None:
    certificate, key = issue(site.authority, tmp_path / "other", "192.0.2.99")
    access = dataclasses.replace(site.access, certificate=certificate, key=key)
    with (
        ServedDirector(sample(), tmp_path / "lb1.sock", access),
        pytest.raises(DirectorError, match="not for this address"),
    ):
        site.client().status()


def test_an_expired_certificate_is_a_problem_at_both_ends(site: Site, tmp_path: Path) -> None:
    """The director listens all the same: who does not look at certificates goes on to see it."""
    certificate, key = issue(
        site.authority,
        tmp_path / "old",
        ADDRESS,
        not_before=datetime(2019, 1, 1, tzinfo=UTC),
        not_after=datetime(2020, 1, 1, tzinfo=UTC),
    )
    with ServedDirector(sample(), tmp_path / "lb1.sock") as served:
        (problem,) = served.adapt(dataclasses.replace(site.access, certificate=certificate, key=key))
        assert "has expired; renew it" in problem
        with pytest.raises(DirectorError, match="its certificate has expired; renew it there"):
            site.client().status()
        assert not served.adapt(site.access)
        assert site.client().status()


def test_callers_need_a_certificate_where_their_ca_is_configured(site: Site, tmp_path: Path) -> None:
    theirs = trustme.CA()
    theirs.cert_pem.write_to_path(str(tmp_path / "clients.crt"))
    certificate, key = issue(theirs, tmp_path / "ops", "ops@example.com")
    stranger, stranger_key = issue(trustme.CA(), tmp_path / "stranger", "ops@example.com")
    access = dataclasses.replace(site.access, client_ca=str(tmp_path / "clients.crt"))
    with ServedDirector(sample(), tmp_path / "lb1.sock", access):
        with pytest.raises(DirectorError, match=r"wants a certificate of yours: LASTHOP_CERTIFICATE=FILE"):
            site.client().status()
        with pytest.raises(DirectorError, match=r"see that your certificate is of one of the CAs"):
            Client(
                site.url,
                credentials=dataclasses.replace(site.credentials(), certificate=stranger, key=stranger_key),
            ).status()
        known = dataclasses.replace(site.credentials(), certificate=certificate, key=key)
        assert Client(site.url, credentials=known).status()
        with pytest.raises(DirectorError, match="no token was given"):
            Client(site.url, credentials=dataclasses.replace(known, token_file=None)).status()


def test_this_machine_may_do_without_tls(site: Site, tmp_path: Path) -> None:
    with ServedDirector(sample(), tmp_path / "lb1.sock", dataclasses.replace(site.access, certificate="", key="")):
        plain = f"http://{site.access.listen[0]}"
        assert Client(plain, credentials=site.credentials()).status()
        with pytest.raises(DirectorError, match="does not speak TLS"):
            site.client().status()
    with ServedDirector(sample(), tmp_path / "lb1.sock", site.access), pytest.raises(DirectorError, match="https"):
        Client(plain, credentials=site.credentials()).status()
    with pytest.raises(DirectorError, match=r"nobody listens there; see that it runs"):
        site.client().status()


def test_a_port_in_use_is_told_and_the_unix_socket_answers_on(site: Site, tmp_path: Path) -> None:
    with socket.socket() as other, ServedDirector(sample(), tmp_path / "lb1.sock") as served:
        other.bind((ADDRESS, site.access.listen[0].port))
        other.listen()
        (problem,) = served.adapt(site.access)
        assert problem == (
            f"can't listen on {site.access.listen[0]} ([api] listen): another program listens there; "
            "see which one: ss -ltnp; or choose another port"
        )
        assert Client("lb1", tmp_path).status()
        other.close()
        assert not served.adapt(site.access)
        assert site.client().status()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "it has no token; make one: lasthop token NAME"),
        ("ops writer", "line 1 has 2 words, not three"),
        ("# x\nops root sha256:" + "0" * 64, "line 2: its second word is no role"),
        ("ops reader " + "0" * 64, "line 1: its third word is not sha256:"),
        ("-ops reader sha256:" + "0" * 64, "line 1: its first word is no name"),
        (("ops reader sha256:" + "0" * 64 + "\n") * 2, "line 2: 'ops' is the name of another token"),
    ],
)
def test_malformed_tokens_are_told_and_those_before_go_on(
    content: str, told: str, shared: Site, tmp_path: Path
) -> None:
    tokens = secret_file(tmp_path / "tokens", (shared.folder / "tokens").read_text())
    access = dataclasses.replace(shared.access, tokens=str(tokens))
    with ServedDirector(sample(), tmp_path / "lb1.sock", access) as served:
        tokens.write_text(content)
        (problem,) = served.adapt(access)
        assert told in problem
        assert "0" * 64 not in problem, "what stands there may be a secret"
        assert shared.client().status()


@pytest.mark.parametrize("name", ["tokens", "api.key"])
@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602])
def test_secrets_that_others_may_read_or_change_are_refused(name: str, mode: int, site: Site, tmp_path: Path) -> None:
    (tmp_path / name).chmod(mode)
    with ServedDirector(sample(), tmp_path / "lb1.sock") as served:
        (problem,) = served.adapt(site.access)
        assert f"others may read or change it (mode {mode:04o}); take that from them: chmod" in problem


def test_renewed_certificates_and_tokens_are_taken_when_they_are_looked_for(site: Site, tmp_path: Path) -> None:
    with ServedDirector(sample(), tmp_path / "lb1.sock", site.access) as served:
        before = ssl.get_server_certificate((ADDRESS, site.access.listen[0].port))
        issue(site.authority, tmp_path / "api")
        token, known = made("new", Role.WRITER)
        secret_file(tmp_path / "tokens", known.line)
        assert not served.adapt(site.access)
        assert ssl.get_server_certificate((ADDRESS, site.access.listen[0].port)) != before
        with pytest.raises(DirectorError, match="not one of this director's"):
            site.client().status()
        secret_file(tmp_path / "reader.token", token)
        assert site.client().status()


def test_a_bad_renewal_changes_nothing(site: Site, tmp_path: Path) -> None:
    with ServedDirector(sample(), tmp_path / "lb1.sock", site.access) as served:
        secret_file(tmp_path / "api.key", "no key")
        (problem,) = served.adapt(site.access)
        assert "can't use the certificate" in problem
        assert site.client().status()


def test_the_listener_moves_and_closes_with_the_configuration(site: Site, tmp_path: Path) -> None:
    with ServedDirector(sample(), tmp_path / "lb1.sock", site.access) as served:
        moved = dataclasses.replace(site.access, listen=(dataclasses.replace(site.access.listen[0], port=free_port()),))
        assert not served.adapt(moved)
        with pytest.raises(DirectorError, match="nobody listens there"):
            site.client().status()
        assert dataclasses.replace(site, access=moved).client().status()
        assert not served.adapt(dataclasses.replace(moved, listen=()))
        with pytest.raises(DirectorError, match="nobody listens there"):
            dataclasses.replace(site, access=moved).client().status()


def test_strangers_who_say_nothing_are_sent_away(served: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(answering, "MOST_CONNECTIONS", 2)
    where = (ADDRESS, served.access.listen[0].port)
    with socket.create_connection(where, 10), socket.create_connection(where, 10):
        with socket.create_connection(where, 10) as third:
            assert third.recv(1) == b"", "one too many is closed"
        assert Client("lb1", tmp_path).status(), "and the unix socket does not notice"


def test_a_fault_in_opening_does_not_end_the_director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(sample(), tmp_path / "lb1.sock")

    async def fails(_: Access) -> None:
        raise RuntimeError("unheard of")

    async def run() -> list[str]:
        noted: asyncio.Queue[str] = asyncio.Queue()
        monkeypatch.setattr(server, "adapt", fails)
        async with server:
            keeping = asyncio.create_task(server.keep(Access, lambda _, problem: noted.put_nowait(str(problem))))
            told = [await asyncio.wait_for(noted.get(), 10) for _ in range(2)]
            assert not keeping.done()
            keeping.cancel()
        return told

    assert any("fault in lasthop: RuntimeError: unheard of" in each for each in asyncio.run(run()))


def test_a_director_is_asked_over_http_with_no_more_than_its_token() -> None:
    assert Credentials.of({}) == Credentials()
    assert Credentials.of({"LASTHOP_TOKEN_FILE": "a", "LASTHOP_CA": "b"}, "c") == Credentials("c", "b")
