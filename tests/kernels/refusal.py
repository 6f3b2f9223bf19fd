"""The one error of these modules: what is missing, and what mends it. Must not be here: anything else."""

from __future__ import annotations


class KernelTestError(Exception):
    """The tests cannot be run under another kernel: what failed and why, and the remedy."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
