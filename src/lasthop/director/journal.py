"""What commands changed, kept on disk: a director that starts again makes the same changes again.

Owns the state file. Its first line says which text of the configuration file the changes were made to (and, after many
of them, what came of it, as TOML); each further line holds the edits of one command. A file that was changed since is
what its operator wants: then the edits are put aside, not made again.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, TypeAdapter, ValidationError

from lasthop.config import parse
from lasthop.config.dump import dump
from lasthop.director.edits import edited
from lasthop.errors import DirectorError, LasthopError
from lasthop.model.edit import Edit
from lasthop.model.event import Kind, told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lasthop.model.configuration import Configuration

_log = logging.getLogger(__name__)

#: Layout of the state file.
VERSION = 1
#: Bytes of edits after which the file is written anew, with what came of them.
COMPACT_BYTES = 32 << 20

EDITS: TypeAdapter[list[Edit]] = TypeAdapter(list[Annotated[Edit, Field(discriminator="kind")]])


class Journal:
    """The state file of one director."""

    def __init__(self, path: Path) -> None:
        """Nothing is read or written yet."""
        self._path = path
        self._head: dict[str, object] = {}
        self._edits_bytes = 0
        self._behind = False
        """Whether the file lacks something, or has something that is not so: the next change then writes it anew."""

    def restore(self, configuration: Configuration, text: str, file: str) -> Configuration:
        """Return `configuration`, which is what `text` of `file` says, with the changes that were made to it.

        Changes that were made to another text, or that cannot be made any more, are put aside in a file beside, and
        that is logged.
        """
        self._head = _head(text)
        try:
            *lines, torn = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return configuration
        except OSError as error:
            _log.error("can't read %s: %s; the changes that commands made are not known", self._path, error.strerror)
            return configuration
        self._behind = bool(torn)
        try:
            return self._replayed(configuration, lines, file)
        except (LasthopError, ValidationError, ValueError, KeyError, TypeError, IndexError) as error:
            reason = error if isinstance(error, LasthopError) else "it is not a state file of this lasthop"
            _log.warning(
                "the changes that commands made to %s are not made again: %s; they are in %s",
                file,
                reason,
                self._put_aside(),
                extra=told(Kind.EDITS_DISCARDED, configuration=file, problem=str(reason)),
            )
            return configuration

    def _put_aside(self) -> Path:
        """Return where the state file is now: beside its place, or still there if nothing can be moved."""
        aside = self._path.with_suffix(".discarded")
        try:
            self._path.replace(aside)
        except OSError:
            self._behind = True
            return self._path
        self._behind = False
        return aside

    def _replayed(self, configuration: Configuration, lines: Sequence[bytes], file: str) -> Configuration:
        head = json.loads(lines[0])
        if head["lasthop"] != VERSION:
            raise DirectorError(f"{self._path} is of layout {head['lasthop']}", "")
        if head["sha256"] != self._head["sha256"]:
            raise DirectorError(f"{file} is another since", "")
        if head["configuration"] is not None:
            configuration = parse(head["configuration"], str(self._path), configuration.director.connections)
        for line in lines[1:]:
            configuration = edited(configuration, EDITS.validate_json(line))
        self._head = head
        self._edits_bytes = sum(map(len, lines[1:]))
        if len(lines) > 1:
            beside = told(Kind.EDITS_RESTORED, configuration=file, changes=len(lines) - 1)
            _log.info("made the changes of %d commands again, from %s", len(lines) - 1, self._path, extra=beside)
        return configuration

    def begin(self, text: str) -> None:
        """Forget all changes: the configuration is what `text` says. Raises DirectorError if that cannot be kept."""
        self._head = _head(text)
        self._edits_bytes = 0
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._behind = True
            raise self._lost(error) from error
        self._behind = False

    def append(self, edits: Sequence[Edit], after: Configuration) -> None:
        """Keep the edits of one command; `after` is what came of them. Raises DirectorError if they cannot be kept.

        What could not be kept before is kept with them.
        """
        line = EDITS.dump_json(list(edits), exclude_defaults=True) + b"\n"
        try:
            if self._behind or self._edits_bytes + len(line) > COMPACT_BYTES:
                self._head["configuration"] = dump(after)
                self._edits_bytes = 0
                self._write()
            else:
                self._append(line)
        except OSError as error:
            self._behind = True
            raise self._lost(error) from error
        self._behind = False

    def _append(self, line: bytes) -> None:
        if not self._path.exists():
            self._write()
        with self._path.open("ab") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        self._edits_bytes += len(line)

    def _write(self) -> None:
        """Write the file anew with its first line alone: whole, or not at all."""
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as stream:
                stream.write(json.dumps(self._head).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._path)
        except OSError:
            # Half of a file takes room of what there is too little of.
            with suppress(OSError):
                fresh.unlink()
            raise

    def _lost(self, error: OSError) -> DirectorError:
        return DirectorError(
            f"can't keep the change in {self._path}: {error.strerror}; it is made, and would be lost by a restart",
            "make room there or mend its permissions, and the next change keeps it too; or: lasthop dump > FILE",
        )


def _head(text: str) -> dict[str, object]:
    return {"lasthop": VERSION, "sha256": sha256(text.encode()).hexdigest(), "configuration": None}
