"""Waveform peaks: the smallest and largest sample of every twentieth of a second, eight bits each.

Invariants: input is mono signed 16-bit little-endian PCM, fed in pieces of any size; the answer does not depend on how it was cut;
memory is one bucket of samples and two bytes for each bucket done. Speech that clips reads 127 or -128, silence reads 0.

Not guaranteed: loudness. Peaks show where something is heard, not how loud it is perceived.

The JSON is version 2 of BBC audiowaveform's data format (docs/DataFormat.md there), which players read as it is.
"""

from __future__ import annotations

import sys
from array import array

SAMPLE_RATE = 8000
PEAKS_PER_SECOND = 20
SAMPLES_PER_PEAK = SAMPLE_RATE // PEAKS_PER_SECOND
_BUCKET_BYTES = SAMPLES_PER_PEAK * 2


class Peaks:
    """Peaks of a stream of PCM, gathered as it comes."""

    def __init__(self) -> None:
        self._rest = b""
        self._peaks = array("b")

    def feed(self, pcm: bytes) -> None:
        """Take the next bytes; a sample may be cut in two between calls."""
        data = self._rest + pcm if self._rest else pcm
        whole = len(data) // _BUCKET_BYTES * _BUCKET_BYTES
        self._rest = bytes(data[whole:])
        self._take(data[:whole])

    def finish(self) -> Peaks:
        """Take what is left as a last, shorter bucket; an odd last byte is half a sample and is dropped."""
        rest, self._rest = self._rest[: len(self._rest) & ~1], b""
        self._take(rest)
        return self

    def _take(self, pcm: bytes) -> None:
        samples = array("h", pcm)
        if sys.byteorder == "big":
            samples.byteswap()
        # Slices of an array are the cheapest thing min and max can walk; an hour is 72,000 of them and takes about two seconds.
        for start in range(0, len(samples), SAMPLES_PER_PEAK):
            bucket = samples[start : start + SAMPLES_PER_PEAK]
            self._peaks.append(min(bucket) >> 8)
            self._peaks.append(max(bucket) >> 8)

    def as_json(self) -> dict[str, int | list[int]]:
        """Return the object to be stored: integers only, minimum and maximum in turn under `data`."""
        return {
            "version": 2,
            "channels": 1,
            "sample_rate": SAMPLE_RATE,
            "samples_per_pixel": SAMPLES_PER_PEAK,
            "bits": 8,
            "length": len(self._peaks) // 2,
            "data": self._peaks.tolist(),
        }
