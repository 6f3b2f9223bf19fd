"""What a good configuration becomes: defaults, one value or a list, and the model's own types."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasthop.config import parse
from lasthop.config.build import timeout_key
from lasthop.config.schema import SECTIONS, Section, TimeoutsSection, known_keys
from lasthop.errors import ConfigurationError
from lasthop.model.director import FIREWALL_SAFE_TIMEOUTS, PROFILES, State
from lasthop.model.leg import Leg, Mode
from lasthop.model.rule import Match, PortRange
from lasthop.model.service import Persistence, Related, WhenEmpty

LEAST = """
[director]
name = "lb1"
[[leg]]
name = "lan"
interface = "eth0"
zone = "edge"
[[service]]
mark = 1
{more}
[[service.real_server]]
name = "fw1"
address = "10.0.1.11"
"""


def test_defaults_are_those_of_the_documentation() -> None:
    configuration = parse(LEAST.format(more="match = [{}]"), "lb1.toml", connections=70_000)
    assert configuration.director.connections == 70_000
    assert configuration.director.timeouts.profile == "firewall-safe"
    assert configuration.director.timeouts.seconds == FIREWALL_SAFE_TIMEOUTS
    assert configuration.legs == (Leg("lan", "eth0", "edge", Mode.AUTO, ()),)
    assert configuration.pass_rules == ()
    (service,) = configuration.services
    assert (service.scheduler, service.persistence, service.when_empty) == ("wlc", None, WhenEmpty.DROP)
    assert service.matches == (Match(),)
    (server,) = service.real_servers
    assert (server.address, server.weight, server.leg) == (IPv4Address("10.0.1.11"), 1, None)


def test_empty_persistence_is_six_minutes_for_each_client() -> None:
    configuration = parse(LEAST.format(more="match = [{}]\npersistence = {}"), "lb1.toml")
    assert configuration.services[0].persistence == Persistence(timeout=360, prefix=32)


def test_a_real_server_may_have_addresses_of_both_families_and_a_service_related_connections() -> None:
    text = LEAST.format(more='match = [{}]\nrelated = "address-pair"').replace(
        '"10.0.1.11"', '"2001:db8:1::11"\nother_addresses = ["10.0.1.11", "10.0.1.11", "fd00::1"]'
    )
    (service,) = parse(text, "lb1.toml").services
    assert service.related is Related.ADDRESS_PAIR
    assert service.real_servers[0].address == ip_address("2001:db8:1::11")
    assert service.real_servers[0].other_addresses == (ip_address("10.0.1.11"), ip_address("fd00::1"))


MATCHES = [
    ('leg = "lan"', Match(legs=("lan",))),
    ('leg = ["lan", "lan"]', Match(legs=("lan",))),
    ('source_real_server = "*"', Match(source_real_servers=("*",))),
    ('source_real_server = ["fw1"]', Match(source_real_servers=("fw1",))),
    ('protocol = ["udp", "tcp"]', Match(protocols=("udp", "tcp"))),
    (
        'protocol = ["sctp", "tcp"], destination_port = 2905',
        Match(protocols=("sctp", "tcp"), destination_ports=(PortRange(2905, 2905),)),
    ),
    ('source = "10.0.0.0/8"', Match(sources=(IPv4Network("10.0.0.0/8"),))),
    ('source = "0.0.0.0/0"', Match(sources=(IPv4Network("0.0.0.0/0"),))),
    ('destination = ["203.0.113.80"]', Match(destinations=(IPv4Network("203.0.113.80/32"),))),
    ('protocol = "tcp", source_port = 0', Match(protocols=("tcp",), source_ports=(PortRange(0, 0),))),
    (
        'protocol = "udp", destination_port = [53, "80", "8000-8080"]',
        Match(protocols=("udp",), destination_ports=(PortRange(53, 53), PortRange(80, 80), PortRange(8000, 8080))),
    ),
    ('protocol = ["gre", 89, "47", "6"]', Match(protocols=("gre", "89", "tcp"))),
    ('family = "ipv6"', Match(families=("ipv6",))),
    ('family = ["ipv4", "ipv6"]', Match(families=("ipv4", "ipv6"))),
    ('source = ["2001:db8::/32", "::/0"]', Match(sources=(IPv6Network("2001:db8::/32"), IPv6Network("::/0")))),
    ("dscp = [0, 63]", Match(dscp=(0, 63))),
]


@pytest.mark.parametrize(("written", "match"), MATCHES, ids=[written for written, _ in MATCHES])
def test_a_match_takes_one_value_or_a_list(written: str, match: Match) -> None:
    configuration = parse(LEAST.format(more=f"match = [{{ {written} }}]"), "lb1.toml")
    assert configuration.services[0].matches == (match,)


def test_every_state_has_a_time_out_key_and_every_key_a_state() -> None:
    assert {timeout_key(state) for state in State} == set(known_keys(TimeoutsSection)) - {"profile"}
    assert set(get_args(TimeoutsSection.model_fields["profile"].annotation)) == set(PROFILES)


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_a_single_time_out_replaces_the_profiles(state: State) -> None:
    text = LEAST.format(more="match = [{}]") + f'[timeouts]\nprofile = "lvs"\n{timeout_key(state)} = 77\n'
    assert parse(text, "lb1.toml").director.timeouts.seconds == PROFILES["lvs"] | {state: 77}


@pytest.mark.parametrize("section", SECTIONS.values(), ids=lambda section: section.__name__)
def test_every_key_has_an_example_for_its_remedy(section: type[Section]) -> None:
    assert all(known_keys(section).values())


def toml_value() -> st.SearchStrategy[str]:
    """Any TOML value, as text."""
    single = st.one_of(
        st.integers().map(str),
        st.floats().map(lambda number: str(number).replace("e", "e")),
        st.booleans().map(lambda yes: str(yes).lower()),
        st.sampled_from(
            ['""', '"*"', '"lan"', '"fw1"', '"10.0.0.1/8"', '"8-9"', '"tcp"', '"::1"', "1979-05-27", "07:32:00"]
        ),
    )
    return st.recursive(
        single,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
            st.dictionaries(st.sampled_from(["leg", "name", "protocol", "source_port", "x"]), inner, max_size=3).map(
                lambda table: f"{{ {', '.join(f'{key} = {value}' for key, value in table.items())} }}"
            ),
        ),
        max_leaves=4,
    )


PLACES = [(section, key) for section, model in SECTIONS.items() for key in (*known_keys(model), "unknown")]


@settings(max_examples=400, deadline=None)
@given(place=st.sampled_from(PLACES), value=toml_value())
def test_any_value_at_any_key_is_taken_or_reported_in_lasthops_own_words(
    place: tuple[tuple[str, ...], str], value: str
) -> None:
    section, key = place
    text = f"{key} = {value}"
    for number, parent in enumerate(reversed(section)):
        repeated = section[: len(section) - number] in {("leg",), ("pass",), ("service",), ("service", "real_server")}
        wrapped = f"[{{ {text} }}]" if repeated or parent == "match" else f"{{ {text} }}"
        text = f"{parent} = {wrapped}"
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "any.toml")
    for mistake in caught.value.mistakes:
        assert mistake.problem
        assert mistake.remedy
        assert "Input should" not in mistake.problem
        assert "\n" not in str(mistake)
