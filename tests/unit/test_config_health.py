"""Health checks in a configuration file: every key is taken and given back, and mistakes are told with their remedy."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from lasthop.config import parse
from lasthop.config.dump import dump
from lasthop.errors import ConfigurationError
from lasthop.model.health import Check, HealthCheck, Passive

FILE = """
[director]
name = "lb1"
[[leg]]
name = "outside"
interface = "eth0"
zone = "edge"
[[service]]
mark = 1
match = [{{ leg = "outside" }}]
{keys}
[service.health]
{health}
[[service.real_server]]
name = "fw1"
address = "10.0.1.11"
health_target = "10.0.2.11"
"""
KINDS = {
    'check = "ping"\ntarget = "10.0.2.1"\ninterval = 0.5\ntimeout = 0.25\nrise = 5\nfall = 4\nwarmup = 30': HealthCheck(
        Check.PING, IPv4Address("10.0.2.1"), interval=0.5, timeout=0.25, rise=5, fall=4, warmup=30.0
    ),
    'check = "path"\ntarget = "10.0.2.1"': HealthCheck(Check.PATH, IPv4Address("10.0.2.1")),
    'check = "ping"\npassive = { unanswered = 0.5, retry = 60 }': HealthCheck(
        Check.PING, passive=Passive(unanswered=0.5, retry=60.0)
    ),
    'check = "tcp"\nport = 22': HealthCheck(Check.TCP, port=22),
    'check = "http"': HealthCheck(Check.HTTP, port=80),
    'check = "http"\nport = 8080\npath = "/up?a=b"\nhost = "a.example.com"\nstatus = [204, "301-302"]\nbody = "o.?k"': (
        HealthCheck(
            Check.HTTP, port=8080, path="/up?a=b", host="a.example.com", status=((204, 204), (301, 302)), body="o.?k"
        )
    ),
    'check = "https"\nverify = true\nstatus = 200': HealthCheck(
        Check.HTTPS, port=443, verify=True, status=((200, 200),)
    ),
    'check = "udp"\nport = 514\nsend = "a"\nexpect = "b+"': HealthCheck(Check.UDP, port=514, send="a", expect="b+"),
    'check = "dns"\nname = "example.com"\nrecord = "A"': HealthCheck(
        Check.DNS, port=53, name="example.com", record="A"
    ),
    'check = "script"\ncommand = ["/bin/true", "-v"]': HealthCheck(Check.SCRIPT, command=("/bin/true", "-v")),
}


def written(health: str, keys: str = "") -> str:
    return FILE.format(health=health, keys=keys)


@pytest.mark.parametrize("health", KINDS)
def test_each_kind_is_taken_as_written_and_given_back_by_dump(health: str) -> None:
    configuration = parse(written(health, "grace = 5\nquorum = 3\nhysteresis = 1"), "lb1.toml")
    (service,) = configuration.services
    assert service.health == KINDS[health]
    assert (service.grace, service.quorum, service.hysteresis) == (5.0, 3, 1)
    assert parse(dump(configuration), "dump.toml") == configuration


@pytest.mark.parametrize(
    ("health", "told"),
    [
        ("interval = 1", "service[0].health.check: is missing; add check"),
        ('check = "telepathy"', "'ping', 'tcp'"),
        ('check = "tcp"', "service[0].health.port: is missing; add port = 22"),
        ('check = "ping"\nport = 80', "is for the checks dns and http and https and script and tcp and udp, and this"),
        ('check = "http"\nverify = true', "health.verify = true: is for the checks https, and this one is http"),
        (
            'check = "path"',
            "health.target: is missing: a path leads to the director behind the real servers; add target",
        ),
        ('check = "script"', 'health.command: is missing; add command = ["/usr/local/bin/check-firewall"]'),
        ('check = "ping"\ntimeout = 3', "is longer than the interval, 2 s"),
        ('check = "ping"\ninterval = 0', "health.interval = 0: is too small; use 0.1 or more"),
        ('check = "http"\nstatus = "2xx"', 'is no HTTP status; write 200 for one or "200-299" for a range'),
        ('check = "http"\nstatus = "299-200"', 'write "200-299"'),
        ('check = "http"\npath = "up"', 'is no path of a URL; begin it with "/"'),
        ('check = "http"\nbody = "("', "is no regular expression: "),
        ('check = "http"\nhost = "a b"', "is no host; write a name"),
        ('check = "dns"\nname = "a..b"', "is no name of the DNS"),
        ('check = "dns"\nrecord = "ANY"', "health.record"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(health: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(written(health), "lb1.toml")
    assert told in str(caught.value)


def test_what_is_about_health_needs_a_check_and_a_hysteresis_a_quorum() -> None:
    without = written("").replace("[service.health]\n", "hysteresis = 1\n")
    with pytest.raises(ConfigurationError) as caught:
        parse(without, "lb1.toml")
    assert "health_target" in str(caught.value)
    assert 'is for a service with a health check; add [service.health] with check = "ping"' in str(caught.value)
    assert "hysteresis = 1: is for a service with a quorum; add quorum = 2, or leave it out" in str(caught.value)


PAIR = """\
[[service.real_server]]
name = "fw1"
address = "10.0.1.11"

[[service.real_server]]
name = "fw1b"
address = "10.0.1.21"
backup_of = "fw1"
"""


def paired() -> str:
    return written('check = "ping"').split("[[service.real_server]]")[0] + PAIR


def test_a_backup_is_read_and_written_again() -> None:
    configuration = parse(paired(), "lb1.toml")
    primary, backup = configuration.services[0].real_servers
    assert (primary.backup_of, backup.backup_of) == ("", "fw1")
    assert parse(dump(configuration), "again") == configuration


BACKUP_LINE = 'backup_of = "fw1"'
THIRD = '\n[[service.real_server]]\nname = "x"\naddress = "10.0.1.9"\n'
ELSEWHERE = """
[[service]]
mark = 9
match = []
[[service.real_server]]
name = "fw1b"
address = "10.0.1.21"
"""


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        ('backup_of = "fw7"', "is no real server of this service; did you mean fw1?"),
        ('backup_of = "fw1b"', "is the real server itself; name the one whose place it takes"),
        (BACKUP_LINE + "\nweight = 1", "weight = 1: is for a backup that of fw1; leave it out"),
        (BACKUP_LINE + '\nadmin = "drained"', "and this is a backup; drain fw1 instead"),
        (BACKUP_LINE + THIRD + BACKUP_LINE, "has a backup already, fw1b; a real server has one backup"),
        (BACKUP_LINE + THIRD + 'backup_of = "fw1b"', "is a backup itself, of fw1; a backup has none"),
        (BACKUP_LINE + ELSEWHERE, "is nobody's backup, and in service[0] it is the backup of fw1; a name is one box"),
    ],
)
def test_a_mistake_about_backups_is_told(instead: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(paired().replace(BACKUP_LINE, instead), "lb1.toml")
    assert told in str(caught.value)


def test_a_key_that_passive_does_not_have_is_told_with_those_it_has() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(written('check = "ping"\npassive = { ratio = 1 }'), "lb1.toml")
    told = "service[0].health.passive.ratio = 1: is no key that lasthop knows here; use one of unanswered"
    assert told in str(caught.value)
