"""`[api]`: what may stand there, what is refused, and what comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from lasthop.config import parse
from lasthop.config.dump import dump
from lasthop.errors import ConfigurationError
from lasthop.model.access import Access
from lasthop.policy.difference import difference

PLAIN = (Path(__file__).parents[2] / "examples" / "lb1.toml").read_text()
TLS = 'certificate = "/a.crt"\nkey = "/a.key"\n'
TOKENS = 'tokens = "/tokens"\n'


def given(keys: str) -> str:
    return f"{PLAIN}\n[api]\n{keys}"


def test_without_a_table_there_is_no_listener_and_the_default_group() -> None:
    access = parse(PLAIN, "lb1.toml").access
    assert access == Access()
    assert (access.listen, access.readers) == ((), None)


@pytest.mark.parametrize(
    "keys",
    [
        'readers = "adm"',
        f'listen = "192.0.2.10:8443"\n{TLS}{TOKENS}metrics_open = true\nmetrics_hops = 0',
        f'listen = ["127.0.0.1:80", "[::1]:80"]\n{TOKENS}',
        f'listen = ["0.0.0.0:8443", "[::]:8443"]\n{TLS}{TOKENS}client_ca = "/ca"\nwriters = "ops"',
        TOKENS,
    ],
)
def test_what_is_configured_comes_back(keys: str) -> None:
    configuration = parse(given(keys), "lb1.toml")
    assert configuration.access != Access()
    assert parse(dump(configuration), "dumped.toml") == configuration


@pytest.mark.parametrize(
    ("keys", "key", "told"),
    [
        (f'listen = "192.0.2.10:8443"\n{TLS}', "api.listen", "open to nobody without tokens; add tokens ="),
        (f'listen = "192.0.2.10:8443"\n{TOKENS}', "api.listen", "no TLS without a certificate; add certificate ="),
        (f'listen = ["127.0.0.1:1", "[::]:1"]\n{TOKENS}', "api.listen[1]", "no TLS without a certificate"),
        (f'listen = ["127.0.0.1:1", "127.0.0.1:1"]\n{TOKENS}', "api.listen[1]", "listed already"),
        ('certificate = "/a.crt"', "api.certificate", "of no use without key; add key ="),
        ('key = "/a.key"', "api.key", "of no use without certificate"),
        ('client_ca = "/ca"', "api.client_ca", "of no use without certificate"),
        ('readers = "adm"\nwriters = "adm"', "api.writers", "the group of the readers too"),
        ('writers = "lasthop"', "api.writers", "the group of the readers too"),
        ('listen = "lb1.example.com:8443"', "api.listen", "no address with a port; write an address"),
        ('listen = "192.0.2.10"', "api.listen", "no address with a port"),
        ('listen = "192.0.2.10:0"', "api.listen", "no port from 1 to 65535"),
        ('listen = "192.0.2.10:70000"', "api.listen", "no port from 1 to 65535"),
        ('listen = "2001:db8::1:8443"', "api.listen", "no address with a port"),
        ('listen = "[192.0.2.10]:8443"', "api.listen", "no address with a port"),
        ('listen = "224.0.0.1:8443"', "api.listen", "multicast"),
        ("listen = 8443", "api.listen", "is not text"),
        ("listen = []", "api.listen", ""),
        ('tokens = "tokens"', "api.tokens", "no absolute path"),
        ('readers = "not a group"', "api.readers", "no group's name; use a name that 'getent group' shows"),
        ("metrics_hops = -1", "api.metrics_hops", ""),
        ('token = "/tokens"', "api.token", "no key that lasthop knows here"),
    ],
)
def test_a_mistake_has_its_key_and_a_remedy(keys: str, key: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(given(keys), "lb1.toml")
    found = [mistake for mistake in refused.value.mistakes if mistake.key == key]
    assert any(told in str(mistake) for mistake in found), refused.value
    assert all(mistake.remedy for mistake in found)


def test_a_change_is_told() -> None:
    before, after = parse(PLAIN, "a"), parse(given(f'listen = "127.0.0.1:1"\n{TOKENS}readers = "adm"'), "b")
    (change,) = difference(before, after)
    assert (change.subject, change.kind) == ("api", "changed")
    assert change.details == ("listen none -> 127.0.0.1:1", "tokens none -> /tokens", "readers none -> adm")
    assert not difference(after, after)
