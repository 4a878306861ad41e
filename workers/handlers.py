"""Which function does which kind of job."""

from __future__ import annotations

from collections.abc import Mapping

from workers import assembly, companions, documents, fixity, media
from workers.runner import Handler

HANDLERS: Mapping[str, Handler] = {
    "read_back": fixity.read_back,
    "examine": assembly.examine,
    "assemble": assembly.assemble,
    "rendition": media.rendition,
    "storyboard": companions.storyboard_of,
    "waveform": companions.waveform,
    "stream_hash": companions.stream_hash,
    "telemetry": companions.telemetry_of,
    "pages": documents.pages,
    "page": documents.page,
    "photo": documents.photo,
    "tiles": documents.tiles,
}
