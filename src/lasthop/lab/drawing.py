"""The drawing of a topology in text: where every box stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.lab.layout import WWW_ADDRESS, Shape

if TYPE_CHECKING:
    from lasthop.lab.layout import Layout

#: More firewalls than this are drawn as the first ones, an ellipsis and the last one.
_DRAWN_MAX = 6


def drawing(drawn: Layout, *, inner_router: bool = False) -> list[str]:
    """Lines of text, at most 98 columns wide. With `inner_router` LB2 is a plain router."""
    rows = _middle(drawn)
    inner = "router" if inner_router else ("lb" if drawn.shape is Shape.ONE_BOX else "lb2")
    outer = "lb" if drawn.shape is Shape.ONE_BOX else "lb1"
    left = f"{len(drawn.clients)} clients ─── ro ──▶ {outer} ──"
    right = f"──▶ {inner} ──▶ ri ─── www"
    centre = len(rows) // 2
    lines = [
        f"{left if row == centre else ' ' * len(left)}{text}{right if row == centre else ''}"
        for row, text in enumerate(rows)
    ]
    note = f"clients {drawn.clients[0]} to .{str(drawn.clients[-1]).rpartition('.')[2]}, www {WWW_ADDRESS}"
    return [*(line.rstrip() for line in lines), "", note, *_remarks(drawn, outer)]


def _middle(drawn: Layout) -> list[str]:
    names = list(drawn.firewalls)
    if len(names) > _DRAWN_MAX:
        names = [*names[:3], "⋮", names[-1]]
    if len(names) == 1:
        return [f"──▶ {names[0]} ──"]
    width = max(map(len, names))
    last = len(names) - 1
    if len(names) % 2 == 0:
        # The middle line of an even number of firewalls carries the boxes beside them.
        names.insert(len(names) // 2, "")
        last += 1
    rows = []
    for row, name in enumerate(names):
        opening, closing = ("┌", "┐") if row == 0 else ("└", "┘") if row == last else ("├", "┤")
        if not name:
            rows.append(f"┤{' ' * (width + 7)}├")
        elif row == len(names) // 2:
            rows.append(f"┼──▶ {name:{width}} ──┼")
        elif name == "⋮":
            rows.append(f"│    {name:{width}}   │")
        else:
            rows.append(f"{opening}──▶ {name:{width}} ──{closing}")
    return rows


def _remarks(drawn: Layout, outer: str) -> list[str]:
    if drawn.shape is Shape.ONE_BOX:
        return [f"both {outer} are one box: one director with the zones edge (left) and core (right)"]
    if drawn.shape is Shape.ONE_ARM:
        return ["lb1, ro and the firewalls' outer sides share one network; so do lb2, ri and their inner sides"]
    return []
