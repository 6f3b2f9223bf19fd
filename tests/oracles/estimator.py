"""LVS's estimator in the kernel's own integers: net/netfilter/ipvs/ip_vs_est.c, every two seconds.

Connections and packets are kept in 2^-10 per second, bytes in 2^-5; what is shown is rounded to nearest.
"""

from __future__ import annotations


class Estimator:
    """One counter's rate; `scale` is 10 or 5."""

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.last = 0
        self.rate = 0

    def tick(self, counter: int) -> int:
        """Two seconds later the counter is so; returns what ipvsadm shows."""
        sample = (counter - self.last) << (self.scale - 1)
        self.last = counter
        self.rate += (sample - self.rate) >> 2
        return (self.rate + (1 << (self.scale - 1)) - 1) >> self.scale
