"""Which function does which kind of job."""

from __future__ import annotations

from collections.abc import Mapping

from workers import fixity
from workers.runner import Handler

HANDLERS: Mapping[str, Handler] = {
    "read_back": fixity.read_back,
}
