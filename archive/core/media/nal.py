"""Where one coded picture ends and the next begins, in H.264 and H.265 as MP4 stores them: NAL units, each after its length.

Invariants: pure; never raises on hostile bytes (what makes no sense is None); looks at no more than `PEEK` bytes of a unit.

Not guaranteed: that a unit which looks right decodes. Pictures of two fields, slices in arbitrary order and H.265 with pictures out of
order are not told apart, and `profile_of` refuses such recorders.

Sources: ITU-T H.264 (08/2021) 7.3.1 to 7.3.3 and 8.2.1; ITU-T H.265 (08/2021) 7.3.1, 7.3.6; ISO/IEC 14496-15 (avcC, hvcC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archive.core.media.movie import children

if TYPE_CHECKING:
    from collections.abc import Iterator

PEEK: Final = 48
LENGTH: Final = 4
_HIGH_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_MOST_DELIMITER: Final = 4096
_KEY: Final = 5
_SLICES: Final = frozenset({1, _KEY})
_LEADING: Final = frozenset({6, 7, 8, 9, 15})
_LEADING_265: Final = frozenset({32, 33, 34, 35, 39})
_LONGEST_HEAD: Final = 64 * 1024
_MOST_GOLOMB: Final = 32


@dataclass(frozen=True, slots=True)
class Coding:
    """What a recorder's parameter sets say about its units; `sets` are they themselves."""

    hevc: bool
    frame_bits: int
    order_bits: int
    """Bits of a picture's place in the order of showing; 0 where pictures are shown in the order of storing."""
    colour_planes: bool
    sets: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """One NAL unit with its length in front: `size` counts both.

    `begins` is that a new picture begins with this slice; `leads` that the unit may only stand before a picture's slices.
    """

    size: int
    header: int
    slice: bool
    begins: bool
    leads: bool
    key: bool
    reference: bool
    number: int
    order: int


class Bits:
    """Bits of a unit's payload, from the first on; raises IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number."""
        if count > self._left:
            raise IndexError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """The next unsigned Exp-Golomb number (9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _MOST_GOLOMB:
                raise IndexError
        return (1 << zeros) - 1 + self.take(zeros)


def coding(entry: bytes) -> Coding:
    """Read a sample entry (`avc1`, `avc3`, `hvc1`, `hev1`).

    Raises:
        ValueError: it is of another kind, its lengths are not four bytes, or its pictures are stored in a way that is not told apart here.
    """
    for name, start, end in children(entry, 8 + 78):
        if name == "avcC" and end - start > 7:  # noqa: PLR2004 - the fixed fields
            if entry[start + 4] & 3 != LENGTH - 1:
                raise ValueError("length size")
            sets = tuple(_avc_sets(entry[start:end]))
            if not sets:
                raise ValueError("no parameter sets")
            return _avc_coding(sets)
        if name == "hvcC" and end - start > 22:  # noqa: PLR2004 - the fixed fields
            if entry[start + 21] & 3 != LENGTH - 1:
                raise ValueError("length size")
            return Coding(hevc=True, frame_bits=0, order_bits=0, colour_planes=False, sets=())
    raise ValueError("no parameter sets")


def _avc_sets(box: bytes) -> Iterator[bytes]:
    at, count = 6, box[5] & 0x1F
    for _ in range(count):
        length = int.from_bytes(box[at : at + 2], "big")
        yield box[at + 2 : at + 2 + length]
        at += 2 + length


def _avc_coding(sets: tuple[bytes, ...]) -> Coding:
    try:
        bits = Bits(sets[0][1:])
        profile = bits.take(24) >> 16
        bits.golomb()
        planes = False
        if profile in _HIGH_PROFILES:
            planes = _skip_high(bits)
        frame_bits = bits.golomb() + 4
        kind = bits.golomb()
        order_bits = bits.golomb() + 4 if kind == 0 else 0
        if kind == 1:
            raise ValueError("picture order type 1")
        bits.golomb()
        bits.take(1)
        bits.golomb()
        bits.golomb()
        if not bits.take(1):
            raise ValueError("fields")
    except IndexError:
        raise ValueError("parameter set cut short") from None
    return Coding(hevc=False, frame_bits=frame_bits, order_bits=order_bits, colour_planes=planes, sets=sets)


def _skip_high(bits: Bits) -> bool:
    """Step over what only the high profiles have; return whether colour planes are coded apart."""
    chroma, planes = bits.golomb(), False
    if chroma == 3:  # noqa: PLR2004 - chroma_format_idc 3 is 4:4:4
        planes = bool(bits.take(1))
    bits.golomb()
    bits.golomb()
    bits.take(1)
    if bits.take(1):
        raise ValueError("scaling lists")
    return planes


def unit(head: bytes, room: int, known: Coding, headers: frozenset[int], longest: int) -> Unit | None:
    """Return the unit that begins here, or None if none plausibly does.

    Args:
        head: the first `PEEK` bytes or fewer, length included.
        room: bytes from here to the end of what may belong to it.
        known: the recorder's coding.
        headers: first bytes of units as this recorder writes them (of H.265 the first two, as one number).
        longest: bytes a unit may have.
    """
    size = LENGTH + int.from_bytes(head[:LENGTH], "big")
    first = 2 if known.hevc else 1
    if size < LENGTH + first + 1 or size > longest or size > room:
        return None
    header = int.from_bytes(head[LENGTH : LENGTH + first], "big")
    if header not in headers:
        return None
    try:
        return _hevc(head, header, size) if known.hevc else _avc(head, header, size, known)
    except IndexError:
        return None


def _avc(head: bytes, header: int, size: int, known: Coding) -> Unit | None:
    kind = header & 0x1F
    if kind not in _SLICES:
        if size > _LONGEST_HEAD or (kind == 9 and size != LENGTH + 2):  # noqa: PLR2004 - a delimiter is two bytes
            return None
        return Unit(
            size, header, slice=False, begins=False, leads=kind in _LEADING, key=False, reference=False, number=0, order=0
        )
    bits = Bits(head[LENGTH + 1 : min(len(head), size)])
    place, slices = bits.golomb(), bits.golomb()
    if slices > 9 or bits.golomb() > 255 or (kind == _KEY and slices % 5 not in (2, 4)):  # noqa: PLR2004 - 7.4.3: types 0 to 9; key pictures hold I alone
        return None
    if known.colour_planes:
        bits.take(2)
    number = bits.take(known.frame_bits)
    if kind == _KEY and (number or bits.golomb() > 65535):  # noqa: PLR2004 - 7.4.3: a key picture's number is 0
        return None
    order = bits.take(known.order_bits) if known.order_bits else 0
    return Unit(
        size,
        header,
        slice=True,
        begins=place == 0,
        leads=False,
        key=kind == _KEY,
        reference=header & 0x60 != 0,
        number=number,
        order=order,
    )


def _hevc(head: bytes, header: int, size: int) -> Unit | None:
    kind = header >> 9 & 0x3F
    if kind > 31:  # noqa: PLR2004 - 7.4.2.2: from 32 on no slices
        if size > _LONGEST_HEAD:
            return None
        return Unit(
            size, header, slice=False, begins=False, leads=kind in _LEADING_265, key=False, reference=False, number=0, order=0
        )
    begins = head[LENGTH + 2] & 0x80 != 0
    key = 16 <= kind <= 23  # noqa: PLR2004 - 7.4.2.2: random access pictures
    return Unit(size, header, slice=True, begins=begins, leads=False, key=key, reference=False, number=0, order=0)
