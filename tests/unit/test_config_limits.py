"""A configuration that asks for more than one director holds is refused where it goes too far."""

from __future__ import annotations

import pytest

from lasthop.config import crosscheck, parse
from lasthop.errors import ConfigurationError, Mistake

HEAD = '[director]\nname = "lb1"\n'
LEG = '[[leg]]\nname = "leg{0}"\ninterface = "eth{0}"\nzone = "edge"\n'
SERVICE = "[[service]]\nmark = {0}\nmatch = [{{ dscp = 1 }}]\n"
SERVER = '[[service.real_server]]\nname = "fw{0}"\naddress = "10.0.{1}.{2}"\n'


def servers(count: int) -> str:
    return "".join(SERVER.format(number, number // 250, number % 250 + 1) for number in range(count))


def refusal(text: str) -> Mistake:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "big.toml")
    (mistake,) = caught.value.mistakes
    return mistake


def test_64_legs_are_held_and_one_more_is_refused() -> None:
    legs = [LEG.format(number) for number in range(65)]
    rest = SERVICE.format(1) + servers(1)
    assert len(parse(HEAD + "".join(legs[:64]) + rest, "big.toml").legs) == 64
    mistake = refusal(HEAD + "".join(legs) + rest)
    assert (mistake.key, mistake.value) == ("leg[64].name", '"leg64"')
    assert "a director holds 64" in mistake.problem


def test_256_real_servers_of_a_service_are_held_and_one_more_is_refused() -> None:
    head = HEAD + LEG.format(0) + SERVICE.format(1)
    assert len(parse(head + servers(256), "big.toml").services[0].real_servers) == 256
    mistake = refusal(head + servers(257))
    assert mistake.key == "service[0].real_server[256].name"
    assert "holds 256" in mistake.problem


def test_so_many_real_servers_in_all_are_held_and_one_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosscheck, "MAX_SERVERS", 8192)
    head = HEAD + LEG.format(0) + "".join(SERVICE.format(mark) + servers(256) for mark in range(1, 33))
    assert len(parse(head, "big.toml").services) == 32
    mistake = refusal(head + SERVICE.format(33) + servers(1))
    assert mistake.key == "service[32].real_server[0].name"
    assert "holds 8192" in mistake.problem


def test_1024_services_are_held_and_one_more_is_refused() -> None:
    services = [SERVICE.format(mark) + servers(1) for mark in range(1, 1026)]
    assert len(parse(HEAD + LEG.format(0) + "".join(services[:1024]), "big.toml").services) == 1024
    mistake = refusal(HEAD + LEG.format(0) + "".join(services))
    assert mistake.key == "service[1024].mark"
    assert "holds 1024" in mistake.problem


def test_4096_rules_are_held_and_one_more_is_refused_at_the_match_that_makes_it() -> None:
    ports = list(range(2048))
    many = f'{{ protocol = ["tcp", "udp"], destination_port = {ports} }}'
    rest = SERVER.format(1, 0, 1)
    service = "[[service]]\nmark = 1\nmatch = [\n"
    assert len(parse(f"{HEAD}{LEG.format(0)}{service}{many}]\n{rest}", "big.toml").services) == 1
    mistake = refusal(f"{HEAD}{LEG.format(0)}{service}{many}, {{ dscp = 1 }}]\n{rest}")
    assert mistake.key == "service[0].match[1]"
    assert "brings the rules to 4097" in mistake.problem
