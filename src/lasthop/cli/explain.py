"""`lasthop explain`: what would become of a packet, and why."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lasthop.cli.completion import legs
from lasthop.cli.frame_file import frame_of
from lasthop.cli.packet_words import question_of
from lasthop.cli.table import BAD, FAINT, GOOD, HEADER_STYLE, NOTABLE, Column, Line, Styled, layout, print_lines
from lasthop.cli.text import conversation, duration, present

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report

_VERDICTS = {"forwarded": ("forwarded", GOOD), "kernel": ("left to the kernel", NOTABLE), "dropped": ("dropped", BAD)}
_BY = {
    "": "not chosen",
    "connection": "by its connection",
    "scheduler": "by the scheduler {scheduler}",
    "template": "by the client's persistence template",
    "related": "by another connection of the same addresses (related)",
    "fragment": "by an earlier fragment of the datagram",
    "rendezvous": "by rendezvous",
    "address": "it is the destination",
}
_LABEL_WIDTH = 12
_CANDIDATES = (
    Column("SERVER"),
    Column("WEIGHT", right=True),
    Column("ACTIVE", right=True),
    Column("INACTIVE", right=True),
    Column("COST", right=True),
    Column("STATE"),
    Column("CHOSEN"),
)


@click.command("explain")
@click.argument("words", nargs=-1, metavar="[PACKET]")
@click.option("--pcap", type=click.Path(path_type=Path), metavar="FILE", help="A frame of this pcap or pcapng file.")
@click.option(
    "--leg",
    metavar="LEG",
    shell_complete=legs,
    help="The leg by which that frame came in; default: whose MAC address it is for.",
)
@click.option("--frame", type=click.IntRange(min=1), metavar="N", help="Which frame of the file.  [default: 1]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def explain(
    client: Client, *, words: tuple[str, ...], pcap: Path | None, leg: str | None, frame: int | None, as_json: bool
) -> None:
    """Say what would become of a packet, and why. Nothing is changed, nothing is sent.

    PACKET is in words, best in quotes:

    \b
        tcp 10.9.0.2:4242 > 203.0.113.80:80 in outside
        udp [2001:db8::2]:53 > [2001:db8:80::1]:53 in outside from router
        icmp 192.0.2.9 > 203.0.113.80 in outside type 3 code 4
            about tcp 203.0.113.80:80 > 10.9.0.2:4242

    \b
    PROTOCOL  tcp, udp, sctp, icmp, icmpv6, gre, esp, ah, ipip, or a number
    in LEG    by which leg it comes in
    from      who sends the frame: a MAC address, a real server, or hop N
    flags SA  of TCP; left out: S
    type N, code N, about PROTOCOL SOURCE > DESTINATION
              of ICMP; left out: an echo request
    id N      of an ICMP query, or of a fragment's datagram
    key N     of GRE
    dscp N, length N
              length from the IP header on
    vlan N    of the frame; 200.100 with the outer one first; left out: the leg's
    fragment first, fragment later

    Who nobody said sends is the last hop or the real server of the packet's connection; without one, the first real
    server on the leg.
    """  # noqa: D301 -- \b is click's mark of lines to be left as they are
    if bool(words) == (pcap is not None):
        raise click.UsageError("give a PACKET in words, or --pcap FILE")
    if pcap is None and (leg is not None or frame is not None):
        raise click.UsageError("--leg and --frame go with --pcap FILE; in words the leg is: in LEG")
    if pcap is None:
        question: Report = asdict(question_of(" ".join(words)))
    else:
        question = {"leg": leg, "frame": frame_of(pcap, frame or 1).hex()}
    report = client.explain(question)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        print_lines(sentences(report))


def sentences(report: Report) -> list[Line]:
    """An ExplanationReport as lines of text."""
    verdict, style = _VERDICTS[report["verdict"]]
    lines = [
        [Styled(_title(report), HEADER_STYLE)],
        _line("comes in", f"leg {report['leg']}, zone {report['zone']}{_from(report['came_from'])}"),
        *_packet(report["packet"]),
        *_connection(report),
        *_rule(report),
        *_persistence(report["persistence"]),
        *_choice(report),
        *_last_hop(report["last_hop"]),
        [*_line("verdict", ""), Styled(verdict, style), Styled(f" ({report['reason']})")],
        _line("", report["sentence"]),
        *_out(report["out"]),
    ]
    return [*lines, *([Styled(f"  {note}", FAINT)] for note in report["notes"])]


def _line(label: str, text: str) -> Line:
    return [Styled(f"  {label.ljust(_LABEL_WIDTH)}"), Styled(text)]


def _title(report: Report) -> str:
    packet = report["packet"]
    if packet is None:
        return f"A frame of {len(report['frame']) // 2} bytes"
    ends = conversation(packet)
    return f"An ICMP error about {ends}, seen from the other end" if packet["error"] else ends


def _hop(hop: Report) -> str:
    vlan = "" if hop["vlan"] is None else f".{hop['vlan']}"
    name = f"{hop['name']} " if hop["name"] else ""
    return f"{name}{hop['mac'] or '?'}@{hop['leg']}{vlan}"


def _from(hop: Report | None) -> str:
    return f", from {_hop(hop)}" if hop else ""


def _packet(packet: Report | None) -> list[Line]:
    if packet is None:
        return []
    told = [f"{packet['length']} bytes from the IP header on"]
    if packet["fragment"]:
        told.append(f"{packet['fragment']} fragment")
    told.append("opens a connection" if packet["opening"] else "opens no connection")
    return [_line("packet", ", ".join(told))]


def _connection(report: Report) -> list[Line]:
    known = report["connection"]
    if known is None:
        return [_line("connection", "none")]
    over = ", which is over: the packet begins another" if report["ended"] else ""
    return [
        _line("connection", f"{known['state']} {conversation(known)}{over}"),
        _line(
            "",
            f"{duration(known['age_s'])} old, idle for {duration(known['idle_s'])}, expires in "
            f"{duration(known['expires_s'])}, {'assured' if known['assured'] else 'not assured'}",
        ),
    ]


def _rule(report: Report) -> list[Line]:
    rule, lines = report["rule"], []
    if rule is not None:
        lines.append(_line("rule", f"{rule['number']}: {rule['text']} ({rule['place']})"))
    service = report["service"] or ("none: a pass rule" if rule is not None and not rule["service"] else "")
    return [*lines, _line("service", service or "none")]


def _persistence(persistence: Report | None) -> list[Line]:
    if persistence is None:
        return []
    template = persistence["template"]
    if template is None:
        return [_line("persistence", f"{persistence['client']} is bound to nobody")]
    return [
        _line(
            "persistence",
            f"{persistence['client']}/{persistence['prefix']} is bound to {template['real_server']} by "
            f"{template['connections']} connections, for {duration(template['expires_s'])}",
        )
    ]


def _choice(report: Report) -> list[Line]:
    choice = report["choice"]
    lines = [_line("real server", f"{present(report['real_server'])}, {_BY[choice['by']].format(**choice)}")]
    if choice["compared"]:
        slot = "" if choice["slot"] is None else f": slot {choice['slot']} of {choice['slots']}"
        lines.append(_line("", f"{choice['compared']}{slot}"))
    if choice["candidates"]:
        rows = [
            (
                each["name"], str(each["weight"]), str(each["active"]), str(each["inactive"]), _cost(each["cost"]),
                each["state"], "yes" if each["chosen"] else "no",
            )
            for each in choice["candidates"]
        ]  # fmt: skip
        lines += [[Styled("      "), *line] for line in layout(_CANDIDATES, rows).lines]
    return lines


def _cost(cost: float | None) -> str:
    return present(None) if cost is None else f"{cost:.2f}".rstrip("0").rstrip(".")


def _last_hop(last_hop: Report | None) -> list[Line]:
    if last_hop is None:
        return []
    return [_line("last hop", f"{_hop(last_hop['hop'])}{'' if last_hop['known'] else ', learned from this packet'}")]


def _out(out: Report | None) -> list[Line]:
    if out is None:
        return []
    tags = f", VLAN {out['vlan']}" if out["vlan"] else ", untagged"
    return [
        _line("goes out", f"leg {out['hop']['leg']} to {_hop(out['hop'])}"),
        _line("", f"source MAC {out['source_mac']}, destination MAC {out['destination_mac']}{tags}"),
    ]
