"""Check ``script``: a program of the operator's. Its exit status counts as that of keepalived's MISC_CHECK."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from lasthop.health.sockets import problem_of

if TYPE_CHECKING:
    from lasthop.health.probe import Asked

_SHOWN = 80
#: keepalived's misc_dynamic: from 2 on the status is an answer, and by so much larger than the weight.
_WEIGHED = 2


async def probe(asked: Asked) -> str | int:
    """See `lasthop.health.probe.Probe`. The program and all it started end with the check."""
    try:
        process = await asyncio.create_subprocess_exec(
            *asked.how.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **_told(asked)},
            start_new_session=True,
        )
    except OSError as error:
        return f"can't run {asked.how.command[0]}: {problem_of(error)}"
    try:
        said, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
    status = process.returncode or 0
    if status >= _WEIGHED and asked.how.weight_by_status:
        return status - _WEIGHED
    if status == 0:
        return ""
    words = said.decode(errors="replace").strip().splitlines()
    return f"exit status {status}" + (f": {words[-1][:_SHOWN]}" if words else "")


def _told(asked: Asked) -> dict[str, str]:
    """What a script may want to know."""
    return {
        "LASTHOP_SERVICE": asked.service,
        "LASTHOP_REAL_SERVER": asked.real_server,
        "LASTHOP_ADDRESS": str(asked.server_address),
        "LASTHOP_TARGET": str(asked.address),
        "LASTHOP_PORT": str(asked.port),
    }
