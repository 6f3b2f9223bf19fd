"""The data plane and the model side by side: each step is taken by both, and what can be seen is held equal.

Must not be here: which steps.
"""

from __future__ import annotations

import struct
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.libbpf import check, ffi, library
from lasthop.model.director import State
from tests.packet import drawn_model, remembered, steps, too_big_answer
from tests.packet.model.frame import TAG_PROTOCOLS
from tests.packet.plans import INTERFACES
from tests.packet.rig import REACHED, REASONS, SENT
from tests.packet.worlds import AGE_S, PATIENCE_S, Circumstances

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.packet.model.nouns import Connection, Key, Outcome
    from tests.packet.rig import Rig
    from tests.packet.worlds import World

FLAGS = {name.removeprefix("CONNECTION_"): bit for name, bit in abi.enum("connection_flag").items()}
#: Of an entry's flags those that the model knows nothing of: they say where it is, not how it is.
OF_THE_TABLE = {"FROM_LOW", "LIVE", "PENDING", "OVERFLOW"}
VERDICTS = {
    "tc": {7: "FORWARDED", 0xFFFFFFFF: "KERNEL", 2: "DROP"},
    "xdp": {4: "FORWARDED", 2: "KERNEL", 1: "DROP"},
}
#: Of a header that is cut off and wrong beside, or another's affair, the document does not say which is counted.
EITHER = [{"KERNEL_TRUNCATED", f"KERNEL_{other}"} for other in ("BAD_HEADER", "NEIGHBOUR", "PROTOCOL")]
#: The whole table is compared after so many frames; after each one only the entry it was about.
EVERY = 250
#: Of a connection that the kernel's routes have.
NO_HOP = ("", "")
_ROOM = 4096
_MAPPED = bytes(10) + b"\xff\xff"


def _as_read_back(expected: Outcome) -> tuple[bytes, ...]:
    """A frame as BPF_PROG_TEST_RUN gives it back: of tc's, an outer tag that was pushed is beside it, out of sight."""
    frame = expected.frame or b""
    tagged = int.from_bytes(frame[12:14], "big") in TAG_PROTOCOLS
    return (frame, frame[:12] + frame[16:]) if tagged else (frame,)


class Program:
    """One of the two programs, run without what is the same each time being made anew."""

    def __init__(self, rig: Rig, entry: str) -> None:
        self.entry, self._verdicts = entry, VERDICTS[entry]
        self._fd = rig.loaded.programs[f"lh_{entry}"]
        self._output = ffi.new("char[]", _ROOM)
        self._opts = ffi.new("struct bpf_test_run_opts *")
        self._opts.sz = ffi.sizeof("struct bpf_test_run_opts")
        self._opts.data_out, self._opts.repeat = self._output, 1

    def run(self, interface: str, frame: bytes) -> tuple[str, bytes]:
        """(verdict, the frame afterwards)."""
        ifindex, opts = INTERFACES[interface], self._opts
        if self.entry == "tc":
            context = struct.pack("<40xI120xI8xI12x", ifindex, 0, 0)
        else:
            context = struct.pack("<IIIIII", 0, len(frame), 0, ifindex, 0, 0)
        given, about = ffi.from_buffer(frame), ffi.from_buffer(context)
        opts.data_in, opts.data_size_in, opts.data_size_out = given, len(frame), _ROOM
        opts.ctx_in, opts.ctx_size_in = about, len(context)
        check(library().bpf_prog_test_run_opts(self._fd, opts), "run a program by BPF_PROG_TEST_RUN")
        return self._verdicts[opts.retval], ffi.buffer(self._output, opts.data_size_out)[:]


class Totals:
    """The counters, and by how much they moved since they were read last."""

    def __init__(self, rig: Rig) -> None:
        table = rig.maps["reasons"]
        self._fd, self._key = table.fd, bytes(4)
        self._memory = ffi.new("char[]", table.value_size)
        self._view = np.frombuffer(ffi.buffer(self._memory), "u8").reshape(-1, len(REASONS))
        self._before = self._read()

    def moved(self) -> dict[str, int]:
        before, self._before = self._before, self._read()
        moved = self._before - before
        return {REASONS[i]: int(moved[i]) for i in moved.nonzero()[0].tolist()}

    def _read(self) -> Any:
        library().bpf_map_lookup_elem(self._fd, self._key, self._memory)
        return self._view.sum(axis=0)


class Duel:
    """A world's two sides."""

    def __init__(self, rig: Rig, world: World, entry: str) -> None:
        self.rig, self.world, self.entry = rig, world, entry
        rig.reset()
        rig.entry = "tc"
        self.now = Circumstances()
        plan = world.draw(self.now)
        rig.publish(plan)
        self.model = drawn_model.model_of(plan)
        self.programs = {name: Program(rig, name) for name in VERDICTS}
        self.totals = Totals(rig)
        self.frames = 0
        self.reasons: Counter[str] = Counter()
        self._zones = {leg.zone: rig.publisher.zones.id_of(leg.zone) for leg in plan.legs}
        self._slots: dict[Key, int] = {}
        names = rig.entries.dtype.names or ()
        self._at = {name: names.index(name) for name in names}
        self._started = time.monotonic()

    @property
    def is_old(self) -> bool:
        """Whether the clock has moved further than time-outs allow for."""
        return time.monotonic() - self._started > PATIENCE_S

    def walk(self, taken: Iterable[steps.Step]) -> int:
        """Take the steps; how many frames there were. Given up when the clock has moved too far meanwhile."""
        for each in taken:
            if self.is_old:
                break
            self.take(each)
            if self.frames % EVERY == 0:
                self.compare_all()
        if not self.is_old:
            self.compare_all()
        return self.frames

    def take(self, step: steps.Step) -> None:
        if isinstance(step, steps.Frame):
            self.send(step)
        elif step == "age":
            self.rig.age(AGE_S)
            self.model.now += AGE_S
        elif step == "sweep":
            self.rig.sweep()
            self.totals.moved()
            self.model.sweep()
        else:
            changed = self.now.dead if step[0] == "-" else self.now.moved
            changed ^= {step[1:]}
            plan = self.world.draw(self.now)
            self.rig.publish(plan)
            drawn_model.publish(self.model, plan)

    def send(self, frame: steps.Frame) -> Outcome:
        """One frame through both."""
        self.frames += 1
        SENT.append((self.entry, frame.interface, frame.raw))
        expected = self.model.receive(frame.interface, frame.raw)
        verdict, after, counted, handed = self._run(frame)
        REACHED.update(counted)
        exits = {name: n for name, n in counted.items() if not name.startswith("EVENT")}
        assert list(exits.values()) == [1], ("one exit, counted once", counted)
        (reason,) = exits
        self.reasons[reason] += 1
        events = {name: n for name, n in counted.items() if name.startswith("EVENT")}
        agreed = reason == expected.reason or {reason, expected.reason} in EITHER
        assert (agreed, events) == (True, expected.events), (reason, events, "but the model says", expected)
        assert reason.startswith(verdict), (reason, verdict)
        self._compare_frames(frame, after, expected)
        if self.entry == "xdp":
            must = reason.startswith("KERNEL") or reason == "FORWARDED_TOO_BIG" or expected.over
            assert handed == must, (reason, handed, "XDP must leave that to tc, and nothing else")
        if expected.key is not None:
            self._compare_entry(expected.key)
        return expected

    def _run(self, frame: steps.Frame) -> tuple[str, bytes, dict[str, int], bool]:
        """Through the program that is looked at, and where XDP hands it over through tc."""
        verdict, after = self.programs[self.entry].run(frame.interface, frame.raw)
        counted = self.totals.moved()
        if self.entry == "tc" or counted != {"KERNEL_TC": 1}:
            return verdict, after, counted, False
        assert after == frame.raw, "what is handed over is not touched"
        verdict, after = self.programs["tc"].run(frame.interface, frame.raw)
        return verdict, after, self.totals.moved(), True

    def _compare_frames(self, frame: steps.Frame, after: bytes, expected: Outcome) -> None:
        if expected.reason == "FORWARDED_TOO_BIG":
            too_big_answer.require(frame.raw, after, {leg.mtu for leg in self.model.legs.values()})
        elif expected.frame is None:
            assert after == frame.raw, "what is not forwarded is not touched"
        else:
            assert after in _as_read_back(expected), (after.hex(), "but the model says", expected.frame.hex())

    # --- the connection table ---------------------------------------------------------------------------------------

    def _compare_entry(self, key: Key) -> None:
        """The entry a frame was about, and that there is one more or less where the model says so."""
        expected = self.model.table.get(key)
        assert int(self.rig.table["live"][0]) == len(self.model.table)
        if expected is not None:
            found = self._entry(self._slot(key))
            assert found == self._expected(expected), (found, "but the model says", self._expected(expected))

    def compare_all(self) -> None:
        """Every entry, every template, every note, every live counter."""
        live = self.rig.live().tolist()
        found = {self.rig.entries["key"][slot].tobytes(): self._entry(slot) for slot in live}
        expected = {self._raw(key): self._expected(each) for key, each in self.model.table.items()}
        assert found == expected
        assert len(live) == len(found), "one entry a connection"
        for service in self.model.services.values():
            for name in service.servers:
                load = self.rig.load_of(name, service.label)
                assert (service.label, name, *load) == (service.label, name, *self.model.load(service.label, name))
        remembered.require_same(remembered.templates(self.rig), remembered.expected_templates(self.model))
        remembered.require_same(remembered.notes(self.rig), remembered.expected_notes(self.model, self._zones))
        remembered.require_same(remembered.pairs(self.rig), remembered.expected_pairs(self.model, self._zones))

    def _raw(self, key: Key) -> bytes:
        zone, protocol, (low, low_port), (high, high_port) = key
        ends = b"".join(each if len(each) == 16 else _MAPPED + each for each in (low, high))
        return ends + struct.pack("!HH", low_port, high_port) + struct.pack("<HBB", self._zones[zone], protocol, 0)

    def _slot(self, key: Key) -> int:
        """Where the entry of a key is; it must be somewhere."""
        raw, rig = self._raw(key), self.rig
        slot = self._slots.get(key, -1)
        if (
            slot >= 0
            and rig.entries["key"][slot].tobytes() == raw
            and int(rig.entries["word"][slot]) >> 8 & FLAGS["LIVE"]
        ):
            return slot
        for each in rig.live().tolist():
            if rig.entries["key"][each].tobytes() == raw:
                self._slots[key] = each
                return int(each)
        raise AssertionError((key, "has no entry"))

    def _entry(self, slot: int) -> tuple[Any, ...]:
        value, at, rig = self.rig.entries[slot].item(), self._at, self.rig
        word = value[at["word"]]
        bits = word >> 8 & 0xFFFF
        boxes, server = rig.publisher.servers["box"], value[at["server"]]
        box = int(boxes[server]) if server < len(boxes) else 0
        return (
            State(word & 0xFF).name,
            frozenset(name for name, bit in FLAGS.items() if bits & bit and name not in OF_THE_TABLE),
            bool(bits & FLAGS["FROM_LOW"]),
            rig.publisher.services.name_of(value[at["service"]]),
            rig.publisher.boxes.name_of(box),
            rig.hop_of(value[at["forward_hop"]]) if value[at["forward_hop"]] else NO_HOP,
            rig.hop_of(value[at["last_hop"]]),
            tuple(int(n) for n in value[at["packets"]]),
            tuple(int(n) for n in value[at["bytes"]]),
        )

    @staticmethod
    def _expected(each: Connection) -> tuple[Any, ...]:
        return (
            each.state,
            frozenset(each.flags),
            each.source == each.key[2],
            each.service,
            each.server,
            (each.forward.leg, each.forward.mac.hex(":")) if each.forward else NO_HOP,
            (each.last.leg, each.last.mac.hex(":")),
            tuple(each.packets),
            tuple(each.bytes),
        )
