"""The program `lasthop`: its help, its laziness, and how errors end."""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from lasthop import __main__ as entry
from lasthop import __version__
from lasthop.api.fake import ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import sample
from lasthop.errors import ConfigurationError, DataPlaneError, LasthopError, Mistake, VerifierError
from lasthop.start import error_lines

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("fastapi", "pydantic", "uvicorn", "numpy", "cffi", "pyroute2", "rich", "textual")


def invoke_raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> click.testing.Result:
    """Run `lasthop status` where the command raises `error`."""

    @click.command("status")
    def status() -> None:
        raise error

    monkeypatch.setattr(entry.Program, "get_command", lambda *_: status)
    return CliRunner().invoke(entry.program, ["status"], prog_name="lasthop")


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    environment.pop("LASTHOP_DIRECTOR", None)
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def run_program(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real program in a process of its own, with its sockets in `directory`."""
    code = f"import pathlib; from lasthop.__main__ import main; main(pathlib.Path({str(directory)!r}))"
    return python(code, *arguments)


def test_help_groups_the_commands_by_section() -> None:
    out = CliRunner().invoke(entry.program, ["--help"]).stdout
    places = [out.index(heading) for heading in ("\nNouns (read;", "\nDirector:", "\nLab:")]
    assert places == sorted(places)
    for name, listed in entry.COMMANDS.items():
        assert f"  {name} " in out, name
        assert listed.line in " ".join(out.split()), name


def test_help_lines_fit_80_columns() -> None:
    assert max(map(len, CliRunner().invoke(entry.program, ["--help"]).stdout.splitlines())) <= 80


def test_help_and_version_import_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys; from lasthop.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in sys.modules if name in {HEAVY!r} or name.startswith(('lasthop.cli', 'lasthop.api'))])"
    )
    for option in ("--help", "--version"):
        assert python(code, option).stdout.splitlines()[-1] == "[]", option


@pytest.mark.parametrize("name", [name for name, listed in entry.COMMANDS.items() if ".cli." in listed.target])
def test_every_command_is_where_the_table_says_under_its_own_name_and_nouns_speak_json(name: str) -> None:
    module, attribute = entry.COMMANDS[name].target.split(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options or entry.COMMANDS[name].section != entry.NOUNS


def test_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(entry.program, ["--version"]).stdout == f"lasthop {__version__}\n"


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(entry.program, ["nonsense"], prog_name="lasthop")
    assert result.exit_code == 2
    assert "No such command 'nonsense'" in result.stderr


def test_an_error_is_one_line_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke_raising(DataPlaneError("can't attach to leg 'a':\n no XDP", 'set mode = "tc"'), monkeypatch)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "lasthop: can't attach to leg 'a': no XDP; set mode = \"tc\"\n"


def test_every_mistake_of_a_configuration_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    mistakes = [
        Mistake("leg[0].zone", "", "is missing", "add it"),
        Mistake("service[1].mark", "1", "is taken", "change it"),
    ]
    result = invoke_raising(ConfigurationError("lb1.toml", mistakes), monkeypatch)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "lasthop: lb1.toml: leg[0].zone: is missing; add it",
        "lasthop: lb1.toml: service[1].mark = 1: is taken; change it",
    ]


def test_a_fault_of_ours_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke_raising(ValueError("two\nlines"), monkeypatch)
    assert result.exit_code == 1
    assert result.stderr.startswith("lasthop: fault in lasthop: ValueError: two lines; set LASTHOP_TRACEBACK=1")
    assert len(result.stderr.splitlines()) == 1


def test_a_traceback_is_shown_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTHOP_TRACEBACK", "1")
    error = VerifierError("can't load", "report it", "R1 invalid mem access")
    result = invoke_raising(error, monkeypatch)
    assert result.exception is error
    assert "R1 invalid mem access" in result.stderr


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)])
def test_an_interrupt_and_a_closed_pipe_end_silently(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "forget_stdout", lambda: None)
    result = invoke_raising(error, monkeypatch)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", "")


def test_a_command_may_choose_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke_raising(click.exceptions.Exit(3), monkeypatch).exit_code == 3


def test_an_empty_remedy_leaves_no_semicolon() -> None:
    assert error_lines(LasthopError("can't do it", "")) == ["can't do it"]


def test_the_program_answers_from_a_process_of_its_own(tmp_path: Path) -> None:
    with ServedDirector(sample(), socket_path("lb1", tmp_path)):
        done = run_program(tmp_path, "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Director lb1: needs attention.\n")


def test_no_director_is_one_line_and_exit_1(tmp_path: Path) -> None:
    done = run_program(tmp_path, "connections", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "lasthop: can't reach a director: none runs here; start one with: lasthop run FILE\n"


def test_a_reader_that_leaves_early_is_not_told_off(tmp_path: Path) -> None:
    operations = sample()
    operations.connection_reports *= 1000
    code = f"import pathlib; from lasthop.__main__ import main; main(pathlib.Path({str(tmp_path)!r}))"
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    with ServedDirector(operations, socket_path("lb1", tmp_path)):
        for arguments, buffering in itertools.product((["connections"], ["connections", "--json"]), ("", "1")):
            command = [sys.executable, "-c", code, *arguments]
            environment["PYTHONUNBUFFERED"] = buffering
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                assert process.stdout.readline()
                process.stdout.close()
                assert process.stderr.read() == b"", arguments
                assert process.wait(30) == 141, arguments


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lasthop", "--version"],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"lasthop {__version__}\n"
