"""The document at /v1/openapi.json: who may do what, and every command that talks to a director."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from lasthop.__main__ import program
from lasthop.api import channel, client
from lasthop.api.sample import sample
from lasthop.api.server import application
from lasthop.errors import DirectorError

#: Every command that asks a director, with words that suffice for it; `detach` is left out, for it may ask the kernel.
TALKING = {
    "status": "--json", "legs": "", "services": "", "servers": "", "connections": "", "templates": "", "health": "",
    "drains": "", "timeouts": "", "hops": "", "counters": "", "metrics": "", "drain": "fw1 --no-wait",
    "explain": "tcp 192.0.2.9:40000 > 203.0.113.80:80 in outside", "capture": "outside",
    "weight": "fw1 5", "enable": "fw1", "disable": "fw1", "mark": "add --mark 1 --protocol tcp", "zero": "",
    "ipvsadm": "-L -n", "apply": "FILE", "dump": "",
}  # fmt: skip
#: How `lasthop.api.client` names what it asks for.
ASKED = re.compile(r'\.(?:answer\("(?:GET|POST)", |document\(|reports\()"([^"]+)"')


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return application(sample()).openapi()


def test_every_question_and_order_of_the_client_is_in_the_document(document: dict[str, Any]) -> None:
    asked = ASKED.findall(Path(client.__file__).read_text())
    assert {"status", "edit", "detach", "connections/count", "/metrics"} <= set(asked)
    assert not [noun for noun in asked if channel._target(noun, {}) not in document["paths"]]


@pytest.mark.parametrize("command", TALKING)
def test_what_a_command_asks_first_is_in_the_document(
    command: str, document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noted(noun: str, filters: Any) -> str:
        asked.append(urlsplit(target(noun, filters)).path)
        raise DirectorError("it is known what it asks", "")

    target = channel._target
    monkeypatch.setattr(channel, "_target", noted)
    (tmp_path / "lb1.toml").write_text("x = 1\n")
    words = [word.replace("FILE", str(tmp_path / "lb1.toml")) for word in TALKING[command].split()]
    told = CliRunner().invoke(program, ["--director", "lb1", command, *words], obj=tmp_path).output
    assert asked, told
    assert asked[0] in document["paths"]


def test_every_operation_says_who_may_and_how_he_is_known(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["security"] == [{"token": []}]
    roles = {}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            roles[method, path] = described["x-lasthop-role"]
            assert "401" in described["responses"], path
            assert ("403" in described["responses"]) == (described["x-lasthop-role"] == "writer"), path
    assert roles["get", "/v1/status"] == roles["post", "/v1/explain"] == roles["get", "/metrics"] == "reader"
    assert {path for (method, path), role in roles.items() if role == "writer"} == {
        "/v1/capture", "/v1/edit", "/v1/apply", "/v1/detach", "/v1/zero",
    }  # fmt: skip


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    written = json.dumps(document)
    references = {part.partition('"')[0] for part in written.split('"$ref": "#/components/schemas/')[1:]}
    assert references <= set(schemas)
