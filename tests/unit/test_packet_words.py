"""The grammar of `lasthop explain`: what a packet in words is, and what is said of a word that is none."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from lasthop.cli.packet_words import question_of
from lasthop.model.described import DescribedPacket, Quoted

PLAIN = DescribedPacket(6, "10.9.0.2", "203.0.113.80", 4242, 80)
TEXT = "tcp 10.9.0.2:4242 > 203.0.113.80:80 in outside"
ECHO = DescribedPacket(1, "10.9.0.2", "203.0.113.80")


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        (TEXT, PLAIN),
        (f"{TEXT} flags SA", replace(PLAIN, flags="SA")),
        (f"{TEXT} flags fa dscp 46 length 1500", replace(PLAIN, flags="FA", dscp=46, length=1500)),
        (f"{TEXT} from fw1", replace(PLAIN, sender="fw1")),
        (f"{TEXT} from hop 7", replace(PLAIN, sender="hop 7")),
        (f"{TEXT} from 02:00:00:00:00:AA", replace(PLAIN, sender="02:00:00:00:00:aa")),
        (f"{TEXT} vlan 100", replace(PLAIN, vlan=(100,))),
        (f"{TEXT} vlan 200.100", replace(PLAIN, vlan=(200, 100))),
        (f"{TEXT} vlan none", replace(PLAIN, vlan=())),
        (f"{TEXT} fragment first id 0x10", replace(PLAIN, fragment="first", identification=16)),
        (
            "udp 10.9.0.2 > 203.0.113.80 in outside fragment later",
            DescribedPacket(17, "10.9.0.2", "203.0.113.80", fragment="later"),
        ),
        (
            "udp [2001:db8::2]:53 > [2001:db8:80::1]:5353 in outside",
            DescribedPacket(17, "2001:db8::2", "2001:db8:80::1", 53, 5353),
        ),
        ("icmpv6 2001:db8::2 > [2001:db8::1] in a", DescribedPacket(58, "2001:db8::2", "2001:db8::1")),
        ("icmp 10.9.0.2 > 203.0.113.80 in outside id 9", replace(ECHO, identification=9)),
        (
            "icmp 192.0.2.9 > 203.0.113.80 in outside type 3 code 4 about tcp 203.0.113.80:80 > 10.9.0.2:4242",
            DescribedPacket(
                1, "192.0.2.9", "203.0.113.80", icmp_type=3, icmp_code=4,
                about=Quoted(6, "203.0.113.80", 80, "10.9.0.2", 4242),
            ),
        ),
        ("gre 10.9.0.2 > 203.0.113.80 in outside key 7", replace(ECHO, protocol=47, gre_key=7)),
        ("esp 10.9.0.2 > 203.0.113.80 in outside", replace(ECHO, protocol=50)),
        ("89 10.9.0.2 > 203.0.113.80 in outside", replace(ECHO, protocol=89)),
        ("in-the-middle", None),
    ],
)  # fmt: skip
def test_words_are_a_packet(text: str, packet: DescribedPacket | None) -> None:
    if packet is None:
        with pytest.raises(click.UsageError):
            question_of(text)
        return
    question = question_of(text)
    assert question.packet == packet
    assert question.leg == ("a" if " in a" in text else "outside")
    assert question.frame is None


@pytest.mark.parametrize(
    ("text", "word", "remedy"),
    [
        ("", "the protocol", "write: tcp"),
        ("tpc 10.0.0.1:1 > 10.0.0.2:1 in a", "'tpc' is no protocol", "use icmp"),
        ("256 10.0.0.1 > 10.0.0.2 in a", "'256' is no protocol", "up to 255"),
        ("tcp 10.0.0.1:1", "'>' is missing after '10.0.0.1:1'", "write: tcp"),
        ("tcp 10.0.0.1:1 10.0.0.2:1 in a", "'10.0.0.2:1' stands where '>' should", "in quotes"),
        ("tcp 10.0.0.1:x > 10.0.0.2:1 in a", "'x' in '10.0.0.1:x' is no port", "65535"),
        ("tcp 10.0.0:1 > 10.0.0.2:1 in a", "'10.0.0:1' is no address", "write 192.0.2.1:80"),
        ("tcp 10.0.0.1:1 > [2001:db8::1]:1 in a", "two families", "both"),
        ("tcp 10.0.0.1 > 10.0.0.2:1 in a", "'10.0.0.1' has no port", "write 10.0.0.1:PORT"),
        ("icmp 10.0.0.1:1 > 10.0.0.2:1 in a", "'10.0.0.1:1' has a port", "leave it out"),
        ("tcp 10.0.0.1:1 > 10.0.0.2:1", "by which leg", "add: in LEG"),
        ("tcp 10.0.0.1:1 > 10.0.0.2:1 in", "a leg is missing after 'in'", "write:"),
        ("tcp 10.0.0.1:1 > 10.0.0.2:1 in a flgs S", "'flgs' is no word of a packet", "words are: in, from, flags"),
        ("tcp 10.0.0.1:1 > 10.0.0.2:1 in a flags SX", "'X' in 'SX' are no TCP flags", "FSRPAUEC"),
        ("tcp 10.0.0.1:1 > 10.0.0.2:1 in a in b", "'in' is said twice", "once"),
        ("tcp 10.0.0.1:1 > 10.0.0.2:1 in a dscp 64", "'64' after 'dscp' is no number from 0 to 63", "correct"),
        ("tcp 10.0.0.1:1 > 10.0.0.2:1 in a length", "a number is missing after 'length'", "write:"),
        ("tcp 10.0.0.1:1 > 10.0.0.2:1 in a fragment last", "'last' after 'fragment'", "say one"),
        ("tcp 10.0.0.1:1 > 10.0.0.2:1 in a vlan 4095", "'4095' after 'vlan' is no VLAN", "200.100"),
        ("tcp 10.0.0.1:1 > 10.0.0.2:1 in a type 3", "'type' does not go with", "leave it out"),
        ("udp 10.0.0.1:1 > 10.0.0.2:1 in a flags S", "'flags' does not go with", "leave it out"),
        ("icmpv6 10.0.0.1 > 10.0.0.2 in a type 3", "'type' does not go with", "correct the protocol"),
        (
            "icmp 10.0.0.1 > 10.0.0.2 in a type 3 about udp 10.0.0.3:1 > 10.0.0.4:1",
            "for '10.0.0.2' and about a packet of 10.0.0.3",
            "source of the packet",
        ),
    ],
)
def test_a_bad_word_is_named_with_its_remedy(text: str, word: str, remedy: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        question_of(text)
    assert caught.value.message.startswith("can't understand the packet: ")
    assert word in caught.value.message
    assert remedy in caught.value.message
    assert caught.value.exit_code == 2
