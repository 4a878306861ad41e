"""Which function does which kind of job."""

from __future__ import annotations

from collections.abc import Mapping

from workers import documents, fixity, media
from workers.runner import Handler

HANDLERS: Mapping[str, Handler] = {
    "read_back": fixity.read_back,
    "examine": media.examine,
    "rendition": media.rendition,
    "storyboard": media.storyboard_of,
    "waveform": media.waveform,
    "stream_hash": media.stream_hash,
    "telemetry": media.telemetry_of,
    "pages": documents.pages,
    "photo": documents.photo,
}
