"""Which function does which kind of job."""

from __future__ import annotations

from collections.abc import Mapping

from workers import assembly, companions, documents, fixity, keeping, media, notes, repair, taking_in
from workers.runner import Handler

HANDLERS: Mapping[str, Handler] = {
    "read_back": keeping.kept(fixity.read_back),
    "check": keeping.checks(fixity.read_back),
    "take_in": taking_in.take_in,
    "examine": assembly.examine,
    "assemble": assembly.assemble,
    "repair": repair.repair,
    "rendition": media.rendition,
    "storyboard": companions.storyboard_of,
    "waveform": companions.waveform,
    "notes": notes.notes_of,
    "stream_hash": companions.stream_hash,
    "telemetry": companions.telemetry_of,
    "pages": documents.pages,
    "page": documents.page,
    "photo": documents.photo,
    "tiles": documents.tiles,
    "restore": keeping.restore,
    "replicate": keeping.replicate,
    "extend_locks": keeping.extend_locks,
    "canary": keeping.canary,
    "prune": keeping.prune,
}
