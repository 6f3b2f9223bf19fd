"""What `pip install` does beyond copying files: it builds the BPF objects into the package.

Must not be here: how an object is built; that is bpf/build.py.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from types import ModuleType

OBJECTS = "lasthop/dataplane/objects"


class BpfObjects(BuildHookInterface):  # type: ignore[type-arg]  # generic over a configuration that is not used
    """Adds every bpf/NAME.bpf.c to the package as NAME.bpf.o."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build into the checkout for an editable install, else into a folder that goes into the wheel."""
        if self.target_name != "wheel":
            return
        builder = _builder(Path(self.root))
        if version == "editable":
            into = Path(self.root) / "src" / OBJECTS
        else:
            into = self._scratch = Path(tempfile.mkdtemp(prefix="lasthop-objects-"))
        for source in builder.sources():
            built = builder.build(source, into)
            if version != "editable":
                build_data["force_include"][str(built)] = f"{OBJECTS}/{built.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # hatchling's
        """Remove the folder of `initialize`."""
        if hasattr(self, "_scratch"):
            shutil.rmtree(self._scratch)


def _builder(root: Path) -> ModuleType:
    """bpf/build.py as a module: hatchling loads this file by its path, so nothing beside it can be imported."""
    spec = importlib.util.spec_from_file_location("lasthop_bpf_build", root / "bpf" / "build.py")
    if spec is None or spec.loader is None:
        message = f"can't find bpf/build.py in {root}: the source tree is incomplete; take the whole of it"
        raise FileNotFoundError(message)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
