"""lasthop.toml(5): docs/configuration.md as a man page.

Owns how what Markdown can say is said in groff. Must not be here: a word about a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from distribution import roff

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = r"lasthop.toml \- configuration of a lasthop director"
_LEFT_OUT = ("image", "html_inline")
#: Two columns are a term and what it means; what stands between them is told by its heading.
_LEAST_COLUMNS = 2


def page(markdown: str, version: str, date: str) -> str:
    """The page's source. The document's title is left for the page's own."""
    tree = SyntaxTreeNode(MarkdownIt("commonmark").enable("table").parse(markdown))
    lines = [
        *roff.title("lasthop.toml", 5, date, version),
        *roff.heading("NAME"),
        _NAME,
        *roff.heading("DESCRIPTION"),
    ]
    for node in tree.children:
        if node.type == "heading" and node.tag == "h1":
            continue
        lines += _block(node)
    lines += [*roff.heading("SEE ALSO"), r"\fBlasthop\fR(1)"]
    return "\n".join([*lines, ""])


def _block(node: SyntaxTreeNode) -> Iterator[str]:
    if node.type == "heading":
        made = roff.heading if node.tag == "h2" else roff.subheading
        yield from made(_plain(node).strip("`"))
    elif node.type == "paragraph":
        yield from roff.paragraph(_inline(node))
    elif node.type in ("fence", "code_block"):
        yield from roff.verbatim(node.content)
    elif node.type == "table":
        yield from _table(node)
    elif node.type in ("bullet_list", "ordered_list"):
        for entry in node.children:
            first, *others = entry.children
            yield from [r".IP \(bu 2", _inline(first)]
            yield from roff.indented([line for other in others for line in _block(other)]) if others else ()
    elif node.type == "blockquote":
        yield from roff.indented([line for child in node.children for line in _block(child)])


def _table(node: SyntaxTreeNode) -> Iterator[str]:
    """A tagged paragraph for each row: man pages are read in terminals, which wide tables do not fit."""
    head, *bodies = node.children
    names = [_inline(cell) for cell in head.children[0].children]
    for row in (row for body in bodies for row in body.children):
        tag, *cells = [_inline(cell) for cell in row.children]
        if names[1:3] == ["type", "default"]:
            kind, default, *told = cells
            text = f"{kind}; {'required' if default == 'required' else f'default: {default}'}. {' '.join(told)}"
        elif len(cells) < _LEAST_COLUMNS:
            text = "".join(cells)
        else:
            text = "; ".join(f"{name}: {cell}" for name, cell in zip(names[1:], cells, strict=True) if cell)
        yield from roff.item(tag or r"\&", text)


def _inline(node: SyntaxTreeNode) -> str:
    """A block's text with its emphasis, in one line, as groff breaks lines itself."""
    return "".join(_piece(child) for child in node.children)


def _piece(node: SyntaxTreeNode) -> str:
    if node.type in ("text", "code_inline"):
        return roff.bold(node.content) if node.type == "code_inline" else roff.quoted(node.content)
    if node.type in ("softbreak", "hardbreak"):
        return " "
    if node.type in _LEFT_OUT:
        return ""
    inner = "".join(_piece(child) for child in node.children)
    return rf"\fB{inner}\fR" if node.type == "strong" and r"\f" not in inner else inner


def _plain(node: SyntaxTreeNode) -> str:
    """A heading's text, without emphasis."""
    return "".join(child.content if not child.children else _plain(child) for child in node.children)
