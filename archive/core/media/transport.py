"""What is missing from an MPEG transport stream: bytes out of step, and packets that its counters say are not there.

Invariants: takes the file in pieces of any size, holds one piece and a byte for each of 8192 packet identifiers; never raises; the answer
does not depend on how the file was cut into pieces.

Not guaranteed: that what is there decodes. Exactly sixteen packets lost together leave no trace in a counter of four bits, so `lost` is a
least number.

Source: ISO/IEC 13818-1:2022, 2.4.3 (packets, continuity counter) and 2.4.3.5 (discontinuity).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PACKET: Final = 188
SYNC: Final = 0x47
_NULL: Final = 0x1FFF
_IN_STEP: Final = 3


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk found: whole packets, breaks of the counters and where the first is, bytes that belong to no packet."""

    packets: int
    breaks: int
    lost: int
    first_break: int | None
    stray: int
    first_stray: int | None


class Walk:
    """A walk over a transport stream of a given stride (188, or 192 and 204 with bytes around each packet)."""

    def __init__(self, stride: int = PACKET) -> None:
        self.stride = stride
        self._rest = b""
        self._at = 0
        self._counters: dict[int, int] = {}
        self._packets = self._breaks = self._lost = self._stray = 0
        self._first_break: int | None = None
        self._first_stray: int | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        data = self._rest + piece
        at = 0
        while len(data) - at >= _IN_STEP * self.stride:
            if data[at] != SYNC:
                at += self._seek(data, at)
                continue
            run = self._run(data, at)
            self._count(data, at, run)
            at += run * self.stride
        self._rest, self._at = data[at:], self._at + at

    def finish(self) -> Walked:
        """Take what is left; less than a packet at the end is stray."""
        data, at = self._rest, 0
        while len(data) - at >= PACKET and data[at] == SYNC:
            self._count(data, at, 1)
            at += self.stride
        if at < len(data):
            self._lose(at, len(data) - at)
        return Walked(self._packets, self._breaks, self._lost, self._first_break, self._stray, self._first_stray)

    def _run(self, data: bytes, at: int) -> int:
        """How many packets in step begin here; at least one. Some are left for next time, so that no run ends at a piece's edge."""
        most = (len(data) - at) // self.stride - 1
        marks = data[at : at + most * self.stride : self.stride]
        off = len(marks) - len(marks.lstrip(b"\x47"))
        return max(1, off)

    def _seek(self, data: bytes, at: int) -> int:
        """Step over bytes until packets are in step again; return how many."""
        start = at
        while len(data) - at >= _IN_STEP * self.stride:
            at = data.find(b"\x47", at + (at == start))
            if at < 0 or len(data) - at < _IN_STEP * self.stride:
                at = max(start + 1, len(data) - _IN_STEP * self.stride + 1) if at < 0 else at
                break
            if data[at + self.stride] == SYNC == data[at + 2 * self.stride]:
                break
            at += 1
        self._lose(start, at - start)
        return at - start

    def _lose(self, at: int, count: int) -> None:
        self._stray += count
        if self._first_stray is None and count:
            self._first_stray = self._at + at

    def _count(self, data: bytes, at: int, run: int) -> None:
        """Hold each packet's counter against the one before of the same identifier; slices make the columns at the speed of C."""
        end, stride, counters = at + run * self.stride, self.stride, self._counters
        columns = (data[at + column : end : stride] for column in (1, 2, 3, 4, 5))
        self._packets += run
        for index, (high, low, control, length, flags) in enumerate(zip(*columns, strict=False)):
            name = (high & 0x1F) << 8 | low
            if name == _NULL or not control & 0x10:  # counts only where there is payload
                continue
            number, last = control & 0xF, counters.get(name)
            counters[name] = number
            if last is None or number == (last + 1) & 0xF or number == last:
                continue
            if control & 0x20 and length and flags & 0x80:  # the sender says so itself
                continue
            self._breaks += 1
            self._lost += (number - last - 1) & 0xF
            if self._first_break is None:
                self._first_break = self._at + at + index * stride


def stride_of(head: bytes) -> int:
    """Return the stride of a stream's beginning: 188, or 192 or 204 where those keep step and 188 does not."""
    for stride in (PACKET, 192, 204):
        for phase in range(stride):
            marks = head[phase : phase + 16 * stride : stride]
            if len(marks) > _IN_STEP and marks.count(b"\x47") == len(marks):
                return stride
    return PACKET
