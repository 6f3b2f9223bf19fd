"""Mistakes in a configuration are found all at once, each with key, value, problem and remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lasthop.config import load, parse
from lasthop.errors import ConfigurationError, Mistake

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[director]
name = "lb1"

[table]
connections = 1_000_000

[timeouts]
profile = "firewall-safe"

[[leg]]
name = "outside"
interface = "eth0"
zone = "edge"
mode = "auto"

[[leg]]
name = "firewalls"
interface = "eth1"
zone = "edge"

[[leg]]
name = "inside"
interface = "eth2"
zone = "core"

[[service]]
mark = 1
match = [{ leg = "outside", protocol = "tcp", destination_port = 80 }]
scheduler = "wlc"
persistence = { timeout = 360, netmask = "255.255.255.255" }
when_empty = "drop"

[[service.real_server]]
name = "fw1"
address = "10.0.1.11"
weight = 1

[[service.real_server]]
name = "fw2"
address = "10.0.1.12"

[[service]]
mark = 2
match = [{ leg = "firewalls" }]

[[service.real_server]]
name = "router"
address = "192.0.2.1"
leg = "outside"
"""


def mistakes(text: str) -> tuple[Mistake, ...]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "lb1.toml")
    return caught.value.mistakes


def only_mistake(old: str, new: str) -> Mistake:
    """The one mistake made by putting `new` in the place of the first `old`."""
    assert old in GOOD
    (mistake,) = mistakes(GOOD.replace(old, new, 1))
    return mistake


def test_the_text_the_mistakes_are_made_in_is_good() -> None:
    assert len(parse(GOOD, "lb1.toml").services) == 2


# (what is replaced, by what, key, value, words of the problem, words of the remedy)
SINGLE = [
    ('name = "lb1"', 'name = "-lb1"', "director.name", '"-lb1"', "no name", "letter or digit first"),
    ('name = "lb1"', "name = 1", "director.name", "1", "not text", "quotes"),
    ('[director]\nname = "lb1"', "", "director", "", "is missing", 'add [director] with name = "lb1"'),
    ('name = "lb1"', "", "director.name", "", "is missing", 'add name = "lb1"'),
    ("1_000_000", "1023", "table.connections", "1023", "too small", "use 1024 or more"),
    ("1_000_000", "1_000_000_001", "table.connections", "1000000001", "too big", "use 1000000000 or less"),
    ("1_000_000", "true", "table.connections", "true", "whole number", "connections = 1_000_000"),
    ("1_000_000", '"many"', "table.connections", '"many"', "whole number", "connections = 1_000_000"),
    ("1_000_000", "1e6", "table.connections", "1000000.0", "whole number", "connections = 1_000_000"),
    ('"firewall-safe"', '"fast"', "timeouts.profile", '"fast"', "'firewall-safe' or 'lvs'", "profile ="),
    ('profile = "firewall-safe"', "udp = 0", "timeouts.udp", "0", "too small", "use 1 or more"),
    ('profile = "firewall-safe"', "icmp = nan", "timeouts.icmp", "nan", "no number", "finite"),
    ('profile = "firewall-safe"', "tcp_last = 2", "timeouts.tcp_last", "2", "no key", "did you mean tcp_last_ack?"),
    ('zone = "edge"', "", "leg[0].zone", "", "is missing", 'add zone = "edge"'),
    ('"eth0"', '"an-interface-too-long"', "leg[0].interface", '"an-interface-too-long"', "longer", "ip link"),
    ('"eth0"', '"eth/0"', "leg[0].interface", '"eth/0"', "no interface's name", "ip link"),
    ('mode = "auto"', 'mode = "fast"', "leg[0].mode", '"fast"', "'auto', 'tc' or 'xdp'", "mode ="),
    ('mode = "auto"', 'mod = "tc"', "leg[0].mod", '"tc"', "no key", "did you mean mode?"),
    ('mode = "auto"', "colour = 100", "leg[0].colour", "100", "no key", "use one of name, interface, zone"),
    ('mode = "auto"', 'virtual_macs = ["1"]', "leg[0].virtual_macs[0]", '"1"', "no MAC", "00:00:5e"),
    ('mode = "auto"', 'virtual_macs = "00:00:5e:00:01:0a"', "leg[0].virtual_macs", '"00:', "a list",
     "virtual_macs = ["),
    ("mark = 1", "mark = 0", "service[0].mark", "0", "too small", "use 1 or more"),
    ("mark = 1", "mark = 4294967296", "service[0].mark", "4294967296", "too big", "4294967295"),
    ("mark = 2", "mark = 1", "service[1].mark", "1", "the mark of service[0]", "mark of its own"),
    ('match = [{ leg = "firewalls" }]', "", "service[1].match", "", "is missing", "add match = ["),
    ('[{ leg = "firewalls" }]', '{ leg = "firewalls" }', "service[1].match", "{ leg", "a list", "match = [{"),
    ('leg = "firewalls"', 'leg = "firewall"', "service[1].match[0].leg", '"firewall"', "no leg", "mean firewalls?"),
    ('leg = "firewalls"', "leg = []", "service[1].match[0].leg", "[]", "is empty", 'leg = "outside"'),
    ('leg = "firewalls"', 'leg = ["firewalls", "x"]', "service[1].match[0].leg[1]", '"x"', "no leg", "use one of"),
    ('leg = "firewalls"', "dscp = 64", "service[1].match[0].dscp", "64", "too big", "use 63 or less"),
    ('leg = "firewalls"', 'source = "10.0.1.1/24"', "service[1].match[0].source", '"10.0.1.1/24"', "host bits",
     'write "10.0.1.0/24" for the network or "10.0.1.1"'),
    ('leg = "firewalls"', 'source = "2001:db8::1/32"', "service[1].match[0].source", '"2001:db8::1/32"', "host bits",
     'write "2001:db8::/32" for the network or "2001:db8::1"'),
    ('leg = "firewalls"', 'source = "::ffff:10.0.0.0/104"', "service[1].match[0].source", '"::ffff', "an IPv4 prefix",
     'write "10.0.0.0/8"'),
    ('leg = "firewalls"', 'source = "2001:db8::1%eth0"', "service[1].match[0].source", '"2001', "names an interface",
     "leave '%'"),
    ('leg = "firewalls"', 'source = "www"', "service[1].match[0].source", '"www"', "no IP prefix", "203.0.113.0/24"),
    ('leg = "firewalls"', 'source = "10.0.0.0/8", destination = "2001:db8::/32"', "service[1].match[0].destination",
     '"2001:db8::/32"', "of IPv4 and of IPv6, and a packet is of one", "one family"),
    ('leg = "firewalls"', 'source = ["10.0.0.0/8", "192.0.2.1"], protocol = "icmpv6"', "service[1].match[0].source",
     '["10.0.0.0/8"', "no packet to match", "one family"),
    ('leg = "firewalls"', 'family = "ipv6", protocol = 1', "service[1].match[0].protocol", "1", "no packet to match",
     "one family"),
    ('leg = "firewalls"', 'family = "ip"', "service[1].match[0].family", '"ip"', "'ipv4' or 'ipv6'", "family ="),
    ("mark = 2", 'mark = 2\nfamily = "ipv4"', "service[1].family", '"ipv4"', "'ipv6'", 'family = "ipv6"'),
    ('leg = "firewalls"', 'source_real_server = "fw"', "service[1].match[0].source_real_server", '"fw"',
     "no real server", "did you mean"),
    ('leg = "firewalls"', 'source_real_server = ["*", "fw1"]', "service[1].match[0].source_real_server", '["*", "fw1"]',
     "any real server", "names alone"),
    ('protocol = "tcp", destination_port = 80', 'protocol = "gree"', "service[0].match[0].protocol", '"gree"',
     "no protocol", "did you mean gre?"),
    ('protocol = "tcp", destination_port = 80', "protocol = 256", "service[0].match[0].protocol", "256",
     "no protocol's number", "1 to 255"),
    ('protocol = "tcp"', 'protocol = ["tcp", 89]', "service[0].match[0].destination_port", "80", "protocol 89 has none",
     "one match for protocol 89"),
    ('protocol = "tcp", ', "", "service[0].match[0].destination_port", "80", "without a protocol", 'protocol = "tcp"'),
    ('protocol = "tcp"', 'protocol = ["tcp", "icmp"]', "service[0].match[0].destination_port", "80", "icmp has none",
     "one match for icmp"),
    ("_port = 80", "_port = 65536", "service[0].match[0].destination_port", "65536", "no port", "0 to 65535"),
    ("_port = 80", '_port = "90-80"', "service[0].match[0].destination_port", '"90-80"', "ends before", '"80-90"'),
    ("_port = 80", '_port = ["http"]', "service[0].match[0].destination_port[0]", '"http"', "no port", "8000-8080"),
    ("_port = 80", "_port = true", "service[0].match[0].destination_port", "true", "no port", "8000-8080"),
    ('"wlc"', '"wlc"\nscheduler_flags = ["sh-prt"]', "service[0].scheduler_flags[0]", '"sh-prt"', "no scheduler flag",
     "did you mean sh-port? Known: sh-port, sh-fallback"),
    ('"wlc"', '"wlc"\nscheduler_flags = ["sh-port"]', "service[0].scheduler_flags[0]", '"sh-port"', "flag of scheduler",
     'scheduler = "sh"'),
    ('"wlc"', '"wlcc"', "service[0].scheduler", '"wlcc"', "no scheduler", "did you mean wlc? Known: rr, wrr, lc, wlc"),
    ('"255.255.255.255"', '"255.0.255.0"', "service[0].persistence.netmask", '"255.0.255.0"', "not contiguous",
     'write "255.0.0.0"'),
    ('"255.255.255.255"', "24", "service[0].persistence.netmask", "24", "number of bits", 'write "255.255.255.0"'),
    ('"255.255.255.255"', '"/16"', "service[0].persistence.netmask", '"/16"', "number of bits", 'write "255.255.0.0"'),
    ('"255.255.255.255"', '"0.0.0.0"', "service[0].persistence.netmask", '"0.0.0.0"', "all clients one", "group"),
    ("timeout = 360", "timeout = 31_536_001", "service[0].persistence.timeout", "31536001", "too big", "31536000"),
    ('when_empty = "drop"', 'when_empty = "open"', "service[0].when_empty", '"open"', "'drop', 'kernel' or 'bypass'",
     "write"),
    ('when_empty = "drop"', "shape = 1", "service[0].shape", "1", "no key",
     "use one of mark, family, match, address"),
    ('"fw2"', '"fw1"', "service[0].real_server[1].name", '"fw1"', "the name of real_server[0]", "once per service"),
    ('"10.0.1.12"', '"10.0.1.12/24"', "service[0].real_server[1].address", '"10.0.1.12/24"', "a prefix", '"10.0.1.12"'),
    ('"10.0.1.12"', '"10.0.1.256"', "service[0].real_server[1].address", '"10.0.1.256"', "no IP address", "10.0.1.11"),
    ('"10.0.1.12"', '"fe80::1"', "service[0].real_server[1].address", '"fe80::1"', "link-local address", "fd00::/8"),
    ('"10.0.1.12"', '"fe80::1%eth1"', "service[0].real_server[1].address", '"fe80', "link-local address", "fd00::/8"),
    ('"10.0.1.12"', '"fd00::1%eth1"', "service[0].real_server[1].address", '"fd00', "the leg's", '"fd00::1"'),
    ('"10.0.1.12"', '"::ffff:10.0.1.12"', "service[0].real_server[1].address", '"::ffff', "IPv4 address written as",
     'write "10.0.1.12"'),
    ('"10.0.1.12"', '"ff02::1"', "service[0].real_server[1].address", '"ff02::1"', "not the address of one", "box"),
    ('"10.0.1.12"', '"10.0.1.12"\nother_addresses = ["fe80::2"]', "service[0].real_server[1].other_addresses[0]",
     '"fe80::2"', "link-local address", "fd00::/8"),
    ('"10.0.1.12"', '"10.0.1.12"\nother_addresses = ["fd00::2", "10.0.1.11"]',
     "service[0].real_server[1].other_addresses[1]", '"10.0.1.11"', "an address of 'fw1'", "one name"),
    ('when_empty = "drop"', 'related = "pair"', "service[0].related", '"pair"', "'none' or 'address-pair'",
     "related ="),
    ('"10.0.1.12"', '"224.0.0.1"', "service[0].real_server[1].address", '"224.0.0.1"', "not the address of one", "box"),
    ('"10.0.1.12"', '"10.0.1.11"', "service[0].real_server[1].address", '"10.0.1.11"', "an address of 'fw1'",
     "one name"),
    ("weight = 1", "weight = 65536", "service[0].real_server[0].weight", "65536", "too big", "use 65535 or less"),
    ("weight = 1", "weight = 1.5", "service[0].real_server[0].weight", "1.5", "whole number", "weight = 1"),
    ("weight = 1", 'leg = "outsde"', "service[0].real_server[0].leg", '"outsde"', "no leg", "did you mean outside?"),
    ("weight = 1", 'leg = "inside"', "service[0].real_server[0].leg", '"inside"', "in zone core, and leg 'outside'",
     "one service for each zone"),
    ('leg = "outside", ', 'leg = ["outside", "inside"], ', "service[0].match[0].leg[1]", '"inside"', "in zone core",
     "one service for each zone"),
    ('name = "inside"', 'name = "outside"', "leg[2].name", '"outside"', "the name of leg[0]", "name of its own"),
    ('"eth1"', '"eth0"', "leg[1].interface", '"eth0"', "in two legs, 'outside' (zone edge) and 'firewalls' (zone edge)",
     "keep one"),
    ('"eth2"', '"eth0"', "leg[2].interface", '"eth0"',
     "'outside' (zone edge) and 'inside' (zone core): a leg in two zones", "keep one"),
    ('name = "router"\naddress = "192.0.2.1"', 'name = "fw1"\naddress = "10.0.1.99"',
     "service[1].real_server[0].address", '"10.0.1.99"', "another address than 'fw1' has in service[0]",
     "same address"),
    ("[[service]]\nmark = 2", "[[services]]\n[[service]]\nmark = 2", "services", "[{}]", "no key", "mean service?"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "key", "value", "problem", "remedy"), SINGLE, ids=[f"{row[2]} = {row[3]}" for row in SINGLE]
)
def test_one_mistake_is_reported_with_key_value_problem_and_remedy(
    old: str, new: str, key: str, value: str, problem: str, remedy: str
) -> None:
    mistake = only_mistake(old, new)
    assert mistake.key == key
    assert mistake.value.startswith(value)
    assert bool(mistake.value) == bool(value)
    assert problem in mistake.problem
    assert remedy in mistake.remedy
    assert "\n" not in str(mistake)


def test_all_mistakes_are_reported_at_once_in_file_order() -> None:
    text = (
        GOOD.replace('"lb1"', '"l b"')
        .replace('mode = "auto"', 'mode = "fast"')
        .replace('"10.0.1.11"', '"fe80::1"')
        .replace('leg = "firewalls"', 'leg = "fire"')
        .replace("mark = 2", "mark = 1\ncolour = 1")
    )
    assert [mistake.key for mistake in mistakes(text)] == [
        "director.name",
        "leg[0].mode",
        "service[0].real_server[0].address",
        "service[1].mark",
        "service[1].colour",
        "service[1].match[0].leg",
    ]


def test_a_message_is_one_line_per_mistake_that_begins_with_the_file() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(GOOD.replace('"eth0"', '"eth/0"').replace("mark = 2", "mark = 1"), "/etc/lasthop/lb1.toml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("/etc/lasthop/lb1.toml: service[1].mark = 1: is the mark of service[0] already; ")


def test_an_empty_file_lacks_director_and_leg() -> None:
    assert [(mistake.key, mistake.problem) for mistake in mistakes("")] == [
        ("director", "is missing"),
        ("leg", "is missing"),
    ]


@pytest.mark.parametrize("section", ["leg", "service", "pass", "service.real_server"])
def test_a_list_of_tables_written_with_single_brackets_names_the_double_ones(section: str) -> None:
    text = GOOD + '[[pass]]\nmatch = [{ protocol = "icmp" }]\n'
    if section == "service.real_server":
        text = re.sub(r"(?s)\[\[service\.real_server\]\].*?(?=\[\[service\]\])", f"[{section}]\n", text)
    else:
        text = re.sub(rf"(?s)\[\[{section}[].].*?(?=\n\[\[(?!{section})|\Z)", "", text) + f"\n[{section}]\n"
    assert f"begin each with [[{section}]], two brackets on either side" in {each.remedy for each in mistakes(text)}


def test_a_service_without_real_servers_is_told_to_have_one() -> None:
    text = GOOD.partition("[[service.real_server]]")[0]
    (mistake,) = mistakes(text)
    assert mistake.key == "service[0].real_server"
    assert mistake.remedy.startswith("add [[service.real_server]] with name")


def test_the_same_box_may_have_another_address_in_another_zone() -> None:
    text = GOOD + '[[service]]\nmark = 3\nmatch = [{ leg = "inside" }]\n'
    parse(text + '[[service.real_server]]\nname = "fw1"\naddress = "10.0.2.11"\n', "lb.toml")


def test_the_same_address_may_be_another_box_in_another_zone() -> None:
    text = GOOD + '[[service]]\nmark = 3\nmatch = [{ leg = "inside" }]\n'
    parse(text + '[[service.real_server]]\nname = "ids"\naddress = "10.0.1.11"\n', "lb.toml")


BY_ADDRESS = """
[[service]]
address = "{address}"
protocol = "tcp"
port = 80
real_server = []
"""


def test_an_ipv6_address_is_the_same_however_it_is_written() -> None:
    text = GOOD + BY_ADDRESS.format(address="2001:db8::80") + BY_ADDRESS.format(address="2001:DB8:0:0::80")
    (mistake,) = mistakes(text)
    assert (mistake.key, "taken" in mistake.problem) == ("service[3].address", True)
    again = GOOD.replace("10.0.1.11", "fd00::11").replace('"192.0.2.1"\nleg = "outside"', '"FD00:0::11"')
    (mistake,) = mistakes(again)
    assert (mistake.key, "address of 'fw1'" in mistake.problem) == ("service[1].real_server[0].address", True)


def test_a_mark_may_be_two_services_of_which_one_is_for_ipv6() -> None:
    text = GOOD.replace("mark = 2", 'mark = 1\nfamily = "ipv6"')
    assert [service.label for service in parse(text, "lb1.toml").services] == ["FWM 1", "FWM 1 IPv6"]
    (mistake,) = mistakes(text.replace('leg = "firewalls"', 'source = "192.0.2.0/24"'))
    assert (mistake.key, "service's family is ipv6" in mistake.problem) == ("service[1].match[0].source", True)
    assert len(mistakes(text.replace("mark = 1", 'mark = 1\nfamily = "ipv6"', 1))) == 1


def test_a_family_is_for_a_service_by_mark() -> None:
    text = GOOD + BY_ADDRESS.format(address="2001:db8::80").replace("port = 80", 'port = 80\nfamily = "ipv6"')
    (mistake,) = mistakes(text)
    assert (mistake.key, "for a service by mark" in mistake.problem) == ("service[2].family", True)


def test_broken_toml_is_reported_with_line_and_column_and_the_line() -> None:
    (mistake,) = mistakes('[director]\nname "lb1"\n')
    assert mistake.key == "line 2, column 6"
    assert "not TOML" in mistake.problem
    assert 'name "lb1"' in mistake.problem


def test_toml_that_ends_too_early_is_reported_at_its_end() -> None:
    (mistake,) = mistakes('[director]\nname = "lb1')
    assert mistake.key == "line 2, column 12"


def test_a_key_given_twice_is_reported_as_such() -> None:
    (mistake,) = mistakes('[director]\nname = "a"\nname = "b"\n')
    assert mistake.key.startswith("line 3, column ")
    assert "given before" in mistake.problem


def test_toml_nested_without_end_is_a_mistake_and_no_traceback() -> None:
    (mistake,) = mistakes(f"a = {'[' * 100_000}")
    assert mistake.key == "file"


def test_numbers_of_any_length_are_mistakes_and_no_traceback() -> None:
    assert mistakes(f"a = {'9' * 5000}")
    (mistake,) = mistakes(GOOD.replace("mark = 1", f"mark = 0x{'f' * 5000}"))
    assert mistake.key == "service[0].mark"
    assert "256 bits" in mistake.value


def test_a_file_that_is_not_there_is_reported_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml: file: can't be read: no such file or directory;"):
        load(tmp_path / "absent.toml")


def test_a_directory_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read: is a directory"):
        load(tmp_path)


def test_a_path_with_a_nul_character_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="NUL"):
        load("a\0b")


def test_a_file_that_is_not_utf_8_is_reported_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes(b'[director]\nname = "\xe4"\n')
    with pytest.raises(ConfigurationError, match=r"line 2: is not UTF-8;"):
        load(file)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "bom.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(file).director.name == "lb1"
