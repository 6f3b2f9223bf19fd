"""A virtual machine for one run: boots a kernel, passes its console on, ends it in any case.

Owns QEMU's options and the lines by which the machine tells how far it is (init.sh). Must not be here: what it runs.
"""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.kernels.refusal import KernelTestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

MEMORY_MB = 3072
#: A machine under KVM says that it is up within five seconds; where KVM cannot run a stock kernel it never does.
KVM_BOOT_S = 20
TCG_BOOT_S = 240
_APPEND = "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off"
# TCG runs the string instructions of erms and fsrm byte by byte.
_ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    "tcg": ("-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm"),
}
# Two network cards that take VLAN tags out of the frames they receive, on a cable of their own: nothing leads outside.
_CARDS = [
    word
    for card in ("eth0", "eth1")
    for word in ("-netdev", f"hubport,hubid=0,id={card}", "-device", f"vmxnet3,netdev={card},romfile=")
]
_UP = re.compile(r"test-kernels: Linux \S+ is up$")
_END = re.compile(r"test-kernels: exit status ([0-9]+)$")
# Firmware and terminals speak to a screen that is not there.
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|c)|[\r\x00]")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a machine's run ended."""

    up: bool
    status: int | None


def run(image: Path, initramfs: Path, timeout: float, show: Callable[[str], None]) -> int:
    """Boot and run to the end; the console is passed to `show` as it comes; returns the exit status of what ran.

    KVM where it can run the kernel, else QEMU's emulation. Raises KernelTestError.
    """
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        ended = _run("kvm", image, initramfs, KVM_BOOT_S, timeout, show)
        if ended.up:
            return _status(ended, timeout)
        show("KVM cannot run this kernel here: emulation it is, which takes several times as long\n")
    ended = _run("tcg", image, initramfs, TCG_BOOT_S, timeout, show)
    if not ended.up:
        raise KernelTestError(
            f"the virtual machine was not up after {TCG_BOOT_S} s", "see its console above; is there memory for it?"
        )
    return _status(ended, timeout)


def _status(ended: Ended, timeout: float) -> int:
    if ended.status is None:
        raise KernelTestError(
            f"the virtual machine ended, or was ended after {timeout:.0f} s, before its tests did",
            'see its console above; choose fewer tests by ARGS="..." or give more time by ARGS="--minutes N ..."',
        )
    return ended.status


def _run(
    accelerator: str, image: Path, initramfs: Path, boot: float, timeout: float, show: Callable[[str], None]
) -> Ended:
    up, line = False, ""
    with _machine(accelerator, image, initramfs) as machine:
        console = _Console(machine, time.monotonic() + boot)
        for piece in console.pieces():
            if up or accelerator == "tcg":
                show(piece)
            *whole, line = (line + piece).split("\n")
            for each in whole:
                if _UP.search(each):
                    up, console.deadline = True, time.monotonic() + timeout
                if match := _END.search(each):
                    return Ended(up, int(match[1]))
    return Ended(up, None)


@contextmanager
def _machine(accelerator: str, image: Path, initramfs: Path) -> Iterator[IO[bytes]]:
    """QEMU's console; QEMU ends with the block, and with this process."""
    command = [
        *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *_ACCELERATORS[accelerator]),
        *("-smp", str(min(2, os.cpu_count() or 1)), "-m", str(MEMORY_MB), *_CARDS, "-nodefaults", "-nographic"),
        *("-serial", "stdio", "-no-reboot", "-kernel", str(image), "-initrd", str(initramfs), "-append", _APPEND),
    ]
    try:
        machine = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
    except FileNotFoundError:
        raise KernelTestError(
            "can't start a virtual machine: there is no setpriv", "apt-get install -y util-linux"
        ) from None
    with machine:
        assert machine.stdout is not None
        try:
            yield machine.stdout
        finally:
            machine.kill()


@dataclass(slots=True)
class _Console:
    """What the machine prints, until it ends or the deadline of the moment is over."""

    stream: IO[bytes]
    deadline: float

    def pieces(self) -> Iterator[str]:
        with selectors.DefaultSelector() as selector:
            selector.register(self.stream, selectors.EVENT_READ)
            while (left := self.deadline - time.monotonic()) > 0:
                if not selector.select(left):
                    continue
                piece = os.read(self.stream.fileno(), 1 << 16)
                if not piece:
                    return
                yield _ESCAPES.sub("", piece.decode(errors="replace"))
