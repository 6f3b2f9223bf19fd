"""`make test-kernels`: the tests under Debian's own kernel of another series, in a virtual machine.

    python -m tests.kernels.run --packages "PACKAGE ..." [--series 6.1] [--minutes N] [arguments of pytest]

Owns the selection of tests and the order of the steps. It says how it ended by its exit status: pytest's, or 70 if the
tests could not be run.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.variants import build_object
from lasthop.lab.topology import ending_by_signal
from tests.kernels import debian_kernel, file_list, initramfs, virtual_machine
from tests.kernels.refusal import KernelTestError

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "kernels"
#: What an emulated machine can do in its time: loading the data plane takes ten seconds there.
#: CONTRIBUTING.md says what is left out.
SELECTION = (
    "tests/contract/test_dataplane.py",
    "tests/contract/test_dataplane_legs.py",
    "tests/contract/test_families.py",
    "tests/contract/test_live_tags.py",
    "tests/lab/test_vlan_devices.py",
    "tests/packet",
    "--ignore=tests/packet/test_distributions.py",
    "--deselect=tests/packet/test_explain.py::test_what_is_said_of_a_packet_is_what_becomes_of_it",
    "--deselect=tests/packet/test_model.py::test_random_frames_do_what_the_model_says",
)
NOT_RUN = 70


def main() -> int:
    """Run the tests; the exit status."""
    options, arguments = _options()
    chosen = arguments if any(not each.startswith("-") for each in arguments) else [*arguments, *SELECTION]
    try:
        with ending_by_signal():
            return _run(options, chosen)
    except KernelTestError as error:
        _say(f"make test-kernels: {error}")
        return NOT_RUN


def _options() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--packages", default="", help="Debian packages that the tests need")
    parser.add_argument("--series", default="6.1", help="of the kernel")
    parser.add_argument("--minutes", type=float, default=30, help="that the tests may take")
    return parser.parse_known_args()


def _run(options: argparse.Namespace, arguments: list[str]) -> int:
    if platform.machine() != "x86_64":
        raise KernelTestError("can't take this machine's files into a virtual x86-64", "run this on an x86-64")
    if shutil.which("qemu-system-x86_64") is None:
        raise KernelTestError("there is no qemu-system-x86_64", "apt-get install -y qemu-system-x86")
    kernel = debian_kernel.newest(options.series, KEPT)
    build_object("draw.bpf.c")  # the compiler stays outside
    with tempfile.TemporaryDirectory(prefix="lasthop-kernels-") as scratch:
        packed = Path(scratch) / "initramfs"
        _pack(packed, Path(scratch) / "top", kernel, options, arguments)
        _say(f"booting Linux {kernel.release} with {packed.stat().st_size >> 20} MB of files")
        began = time.monotonic()
        # The machine's own limit comes first: pytest then still tells what it was doing.
        status = virtual_machine.run(kernel.image, packed, options.minutes * 60 + 120, _show)
    _say(f"Linux {kernel.release}: pytest's exit status is {status}, after {time.monotonic() - began:.0f} s")
    return status


def _pack(
    packed: Path, top: Path, kernel: debian_kernel.Kernel, options: argparse.Namespace, arguments: list[str]
) -> None:
    top.mkdir()
    shutil.copy(Path(__file__).with_name("init.sh"), top / "init")
    (top / "init").chmod(0o755)
    pytest = [".venv/bin/python", "-m", "pytest", "--color=no", "-p", "no:cacheprovider", *arguments]
    limit = ["timeout", "--signal=INT", "--kill-after=60", str(round(options.minutes * 60))]
    (top / "run-tests").write_text(f"cd {shlex.quote(str(ROOT))}\nexec {shlex.join([*limit, *pytest])}\n")
    for folder in ("proc", "sys", "dev"):
        (top / folder).mkdir()
    with packed.open("wb") as archive:
        initramfs.append(archive, Path("/"), file_list.of_packages(options.packages.split()))
        initramfs.append(archive, Path("/"), file_list.of_project(ROOT))
        for tree, below in ((kernel.tree, kernel.modules), (top, top)):
            initramfs.append(archive, tree, (str(path.relative_to(tree)) for path in below.rglob("*")))


def _say(line: str) -> None:
    _show(f"{line}\n")


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
