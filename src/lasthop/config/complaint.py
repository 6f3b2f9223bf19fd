"""What the schema complains about, in an operator's words.

Owns the translation of pydantic's errors into findings. A kind of error that has no words here is a gap that the tests
look for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lasthop.config.document import Finding, known_words
from lasthop.config.schema import SECTIONS, known_keys
from lasthop.config.values import WRONG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from lasthop.config.document import Place

#: pydantic's type of error -> what is wrong; where a value of the right kind is missing, the remedy shows one.
WRONG_KIND = {
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_attributes_type": "must be a table",
    "model_type": "must be a table",
    "string_type": "must be text in quotes",
    "too_short": "is empty",
}

#: Sections that are lists of tables: TOML writes them with two brackets.
REPEATED = {("leg",), ("mark",), ("pass",), ("service",), ("service", "real_server")}


def findings(error: ValidationError, above: Place = ()) -> Iterator[Finding]:
    """Yield one finding for each of the schema's complaints about what stands at `above`."""
    for detail in error.errors(include_url=False, include_input=False):
        place = (*above, *detail["loc"])
        problem, remedy = _words(place, detail)
        yield Finding(place, problem, remedy)


def _words(place: Place, detail: ErrorDetails) -> tuple[str, str]:
    kind = detail["type"]
    context = detail.get("ctx", {})
    if kind == WRONG:
        return context["problem"], context["remedy"]
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind in {"enum", "literal_error"}:
        return f"must be {context['expected']}", f"write {_example(place)}"
    if kind == "missing":
        return "is missing", f"add {_example(place)}"
    if kind in WRONG_KIND:
        return WRONG_KIND[kind], _shape(place)
    return _out_of_bounds(kind, context) or (detail["msg"], f"write for instance {_example(place)}")


def _out_of_bounds(kind: str, context: Mapping[str, object]) -> tuple[str, str] | None:
    if kind == "greater_than_equal":
        return "is too small", f"use {_number(context['ge'])} or more"
    if kind == "less_than_equal":
        return "is too big", f"use {_number(context['le'])} or less"
    if kind == "finite_number":
        return "is no number to count with", "use a finite number"
    return None


def _number(bound: object) -> str:
    return f"{bound:g}" if isinstance(bound, float) and not bound.is_integer() else f"{int(cast('int', bound))}"


def _shape(place: Place) -> str:
    """Return the remedy for a value of the wrong kind."""
    keys = _keys(place)
    if keys in REPEATED:
        return f"begin each with [[{'.'.join(keys)}]], two brackets on either side"
    return f"write for instance {_example(place)}"


def _unknown_key(place: Place) -> tuple[str, str]:
    *parents, key = _keys(place)
    known = list(known_keys(SECTIONS[tuple(parents)]))
    return "is no key that lasthop knows here", known_words(key, known)


def _example(place: Place) -> str:
    *parents, key = _keys(place)
    return known_keys(SECTIONS[tuple(parents)])[key]


def _keys(place: Place) -> tuple[str, ...]:
    return tuple(step for step in place if isinstance(step, str))
