"""A director in plain Python: what every kind of frame does, and what is remembered of it.

Written from docs/packets.md, its rules in the rooms of the same order, with the oracles of tests/oracles for states and
choices; independent of the C and of scapy. Must not be here: maps, programs, how anything is encoded.
"""

from tests.packet.model.director import Model
from tests.packet.model.nouns import Hop, Leg, Outcome, Rule, Server, Service

__all__ = ["Hop", "Leg", "Model", "Outcome", "Rule", "Server", "Service"]
