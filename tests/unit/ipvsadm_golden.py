"""Reads the golden files of ipvsadm: which command lines printed what, and the services behind it. No tests here."""

from __future__ import annotations

import shlex
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from lasthop.cli.ipvsadm.formats import ServerRow, ServiceRow

GOLDEN = Path(__file__).parents[1] / "golden/ipvsadm"
FIVE = 5
_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Block(NamedTuple):
    """A command line, what it printed, and its exit code."""

    words: tuple[str, ...]
    text: str
    status: int


def blocks(name: str) -> list[Block]:
    """All of a file, in its order."""
    found: list[Block] = []
    words: tuple[str, ...] | None = None
    lines: list[str] = []
    for line in (GOLDEN / name).read_text().splitlines():
        if line.startswith("$ ipvsadm"):
            words, lines = tuple(shlex.split(line)[2:]), []
        elif line.startswith("[rc=") and words is not None:
            found.append(Block(words, "".join(f"{each}\n" for each in lines), int(line[4:-1])))
            words = None
        elif words is not None:
            lines.append(line)
    return found


def first(found: list[Block], *words: str) -> Block:
    """The first block of this command line."""
    return next(block for block in found if block.words == words)


def services(found: list[Block]) -> list[ServiceRow]:
    """The services that the first lists of each kind in `found` show, in the order of -Ln."""
    extra: dict[str, dict[str, list[list[str]]]] = {}
    for kind in ("--stats", "--rate", "--thresholds", "--persistent-conn", "--tun-info"):
        exact = ("-Ln", kind, "--exact")
        words = exact if any(block.words == exact for block in found) else ("-Ln", kind)
        extra[kind] = _cells(next((block.text for block in found if block.words == words), ""))
    plain = first(found, "-Ln").text
    rows: list[ServiceRow] = []
    for line in plain.splitlines()[3:]:
        if line.startswith("  -> "):
            cells = line.split()[1:]
            more = {kind: by_service[_key(rows[-1])] for kind, by_service in extra.items() if by_service}
            place = len(rows[-1].servers) + 1
            server = _server(cells, {kind: lines[place][1:] for kind, lines in more.items()})
            rows[-1] = rows[-1]._replace(servers=(*rows[-1].servers, server))
        else:
            rows.append(_service(line, extra))
    return rows


def _cells(text: str) -> dict[str, list[list[str]]]:
    """First two words of each service -> the words of its line and of those below."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    service = ""
    for line in text.splitlines()[3:]:
        if not line.startswith("  -> "):
            service = " ".join(line.split()[:2])
        found[service].append(line.replace("  -> ", "").split())
    return found


def _key(row: ServiceRow) -> str:
    name = f"FWM {row.mark}" if row.mark else f"{row.protocol.upper()} {_endpoint(row.address, row.port)}"
    return " ".join(name.split()[:2])


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def split(endpoint: str) -> tuple[str, int]:
    """Address and port."""
    address, _, port = endpoint.rpartition(":")
    return address.strip("[]"), int(port)


def _service(line: str, extra: dict[str, dict[str, list[list[str]]]]) -> ServiceRow:
    kind, name, *rest = line.split()
    mark = int(name) if kind == "FWM" else 0
    address, port = ("", 0) if mark else split(name)
    ipv6 = rest[0] == "IPv6" or ":" in address
    scheduler, *rest = [word for word in rest if word != "IPv6"]
    flags = tuple(rest.pop(0).strip("()").split(",")) if rest and rest[0].startswith("(") else ()
    key = f"{kind} {name}"
    return ServiceRow(
        mark, ipv6, "" if mark else kind.lower(), address, port, scheduler, flags,
        persistence_s=int(rest[rest.index("persistent") + 1]) if "persistent" in rest else None,
        mask=rest[rest.index("mask") + 1] if "mask" in rest else "",
        one_packet="ops" in rest,
        statistics=numbers(extra["--stats"][key][0]) if extra["--stats"] else (0,) * FIVE,
        rates=numbers(extra["--rate"][key][0]) if extra["--rate"] else (0,) * FIVE,
    )  # fmt: skip


def _server(cells: list[str], more: dict[str, list[str]]) -> ServerRow:
    name, forward, weight, active, inactive = cells
    upper, lower = (int(each) for each in more.get("--thresholds", ["0", "0"])[:2])
    tunnel = "ipip" if forward == "Tunnel" else "n/a"
    return ServerRow(
        *split(name), forward, tunnel, int(weight), int(active), int(inactive),
        persistent=int(more.get("--persistent-conn", ["0", "0"])[1]),
        upper=upper,
        lower=lower,
        statistics=numbers(more["--stats"]) if "--stats" in more else (0,) * FIVE,
        rates=numbers(more["--rate"]) if "--rate" in more else (0,) * FIVE,
    )  # fmt: skip


def numbers(cells: list[str]) -> tuple[int, ...]:
    """The five numbers at the end of a line; a unit is taken as so many of it."""
    return tuple(int(cell.rstrip("KMGT")) * _UNITS.get(cell[-1], 1) for cell in cells[-FIVE:])
