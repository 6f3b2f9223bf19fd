"""The director process: one asyncio loop that watches the network, sweeps, and answers on the socket.

Owns signals, timers and the lock that keeps a second process of the same name out. The data plane
goes on forwarding when this process ends, however it ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.api.location import socket_path
from lasthop.api.serving import serve
from lasthop.config import parse, read
from lasthop.daemon import file_watch, logs, wiring
from lasthop.daemon.notify import Notifier
from lasthop.daemon.service import Service
from lasthop.director.events import Events
from lasthop.director.health import HealthWatch
from lasthop.director.telling import tell_refused
from lasthop.director.watch import NetworkWatch
from lasthop.errors import DirectorError, LasthopError
from lasthop.health.path import Paths
from lasthop.model.event import Kind, on_behalf_of, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.api.serving import ApiServer
    from lasthop.daemon.file_watch import State
    from lasthop.daemon.service import Pulse
    from lasthop.director.director import Director

_log = logging.getLogger(__name__)

_SWEEP_S = 1.0
_DRAIN_S = 0.5
_READ_BACK_S = 5.0
#: The sweep may take this share of the director's time: a big table is swept less often.
_SWEEP_SHARE = 0.05


def run(text: str, file: str, default_connections: int, *, watched: State = None) -> None:
    """Run the director of `text`, which is in `file`, until SIGTERM, SIGINT or a detach; SIGHUP applies `file` again.

    `watched` is what the file was when it was read, if a change of it is to be applied as well. Edits that were made to
    the same text before are made again. `default_connections` is the size of the table where a file does not say.
    Raises ConfigurationError for a file with mistakes, LasthopError if it cannot start.
    """
    notifier = Notifier.taken_from(os.environ)
    given = parse(text, file, default_connections)
    name = given.director.name
    logs.name_director(name)
    with _only_one(name), Events().listening() as events, closing(NetworkWatch(wiring.network)) as watch:
        journal = wiring.journal(name)
        configuration = journal.restore(given, text, file)
        with closing(wiring.start(configuration, file, watch.observe(), default_connections, journal)) as director:
            director.happened = events
            asyncio.run(_serve(director, watch, file, notifier, watched=watched))


@contextmanager
def _only_one(name: str) -> Iterator[None]:
    """Hold the director's lock; the kernel gives it back however the process ends."""
    path = socket_path(name).with_suffix(".lock")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DirectorError(f"can't lock {path}: {error.strerror}", "run as root") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DirectorError(
            f"can't start director '{name}': one of that name is running",
            f"stop it first, or give this one another name (see lasthop --director {name} status)",
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


async def _serve(director: Director, watch: NetworkWatch, file: str, notifier: Notifier, *, watched: State) -> None:
    name = director.configuration.director.name
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    director.on_detached = stop.set
    director.look = watch.look
    service = Service(notifier, director.servers, lambda: len(director.configuration.services))
    health = HealthWatch(wiring.probes(), Paths(), wiring.health_file(name))
    async with serve(director, socket_path(name)) as api:

        def apply_again(why: str) -> None:
            _apply_again(director, file, api, service, why)

        loop.add_signal_handler(signal.SIGHUP, apply_again, "SIGHUP")
        director.on_applied.append(api.look)
        _log.info("director %s is running", name, extra=told(Kind.STARTED, configuration=file))
        tasks = [
            asyncio.create_task(work)
            for work in (
                api.keep(lambda: director.configuration.access, director.noted),
                watch.follow(director),
                health.follow(director),
                _sweep_forever(director, service.pulse),
                _read_back_forever(director),
                _resize_forever(director),
                _drain_forever(director),
                service.keep(),
            )
        ]
        if watched is not None:
            why = f"{file} was changed"
            following = file_watch.follow(Path(file), watched, lambda: apply_again(why))
            tasks.append(asyncio.create_task(following))
        service.ready()
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        service.stopping()
        director.end_captures()
        beside = told(Kind.STOPPING, reason="detached" if director.detached else "stopped")
        _log.info("director %s stops; %s", name, _afterwards(director), extra=beside)
        director.happened.end()
        for task in (*tasks, stopping):
            task.cancel()
        for task in done:
            task.result()
    _log.info("director %s stopped; %s", name, _afterwards(director))


def _afterwards(director: Director) -> str:
    return "detached" if director.detached else "the data plane goes on forwarding"


async def _sweep_forever(director: Director, pulse: Pulse) -> None:
    """A sweep that fails does not beat: where all fail, the watchdog has this process started anew."""
    pause = _SWEEP_S
    while True:
        await asyncio.sleep(pause)
        began, swept = time.monotonic(), False
        try:
            while not (swept := director.sweep()):
                pulse.beat()
                await asyncio.sleep(0)
        except LasthopError:
            _log.exception("sweep failed")
        pause = max(_SWEEP_S, (time.monotonic() - began) / _SWEEP_SHARE)
        if swept:
            pulse.beat(pause)


async def _read_back_forever(director: Director) -> None:
    """After each change of what is wanted, and every few seconds."""
    asked = asyncio.Event()
    director.on_applied.append(asked.set)
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), _READ_BACK_S)
        asked.clear()
        if director.detached:
            return
        for _ in director.read_back():
            await asyncio.sleep(0)


async def _drain_forever(director: Director) -> None:
    while True:
        await asyncio.sleep(_DRAIN_S)
        director.drain_step()


async def _resize_forever(director: Director) -> None:
    """Step by step, with as much time for everything else."""
    while True:
        began = time.monotonic()
        going = director.resize_step()
        await asyncio.sleep(time.monotonic() - began if going else _SWEEP_S)


def _apply_again(director: Director, file: str, api: ApiServer, service: Service, why: str) -> None:
    api.look()
    with suppress(LasthopError), service.reloading(), on_behalf_of(why):
        try:
            text = read(file)
        except LasthopError as error:
            tell_refused(file, error)
            raise
        director.apply(text, file)
