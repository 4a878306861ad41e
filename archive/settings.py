"""Every setting, in one frozen class; only entry points read it.

Settings come from the environment under the prefix LIUHEN_. A variable of that prefix that is no setting, or a value that does not fit,
refuses to start: a misspelt safeguard must not be a missing one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from archive.core.accession import AccessionNumber, Kind
from archive.core.errors import Malformed

PREFIX = "LIUHEN_"


class Settings(BaseModel):
    """What an installation decides. Sizes are bytes, times seconds unless the name says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    data_dir: Path = Field(default=Path("data"), description="Where everything is kept: database, store, spool, keys.")
    agency: str = Field(default="000000", description="The agency's code, the first part of every accession number.")
    agency_name: str = Field(default="", description="The agency's name as pages show it.")
    zone: str = Field(default="Asia/Shanghai", description="The time zone of pages, of recorders' clocks and of a number's year.")
    host: str = Field(default="127.0.0.1", description="The address that the web process listens on.")
    port: int = Field(default=8080, ge=0, le=65535, description="The port that the web process listens on.")
    log_name: str = Field(default="", description="The name under which receipts are signed; the agency's code if empty.")
    max_upload_bytes: int = Field(default=2**40, ge=1, description="The largest upload taken, in bytes.")
    upload_expiry_hours: int = Field(default=168, ge=1, description="Hours after which an unfinished upload is dropped.")
    idle_body_seconds: int = Field(
        default=60, ge=1, description="Seconds without a byte after which an upload's request is ended."
    )
    free_space_floor: int = Field(default=2**28, ge=0, description="Bytes of the disk that uploads leave free.")
    x_accel_prefix: str = Field(
        default="", description="The internal location under which nginx serves the store; empty: we serve."
    )
    sm3: bool = Field(
        default=False,
        description="Reckon SM3 beside SHA-256 for every item, not only where a station asks for it; it takes five times as long.",
    )
    secure_cookies: bool = Field(default=False, description="Send cookies over HTTPS only; set it behind a TLS proxy.")
    transcode_threads: int = Field(default=0, ge=0, le=64, description="Threads of one transcode; 0 lets the encoder choose.")
    join_gap_seconds: int = Field(
        default=2,
        ge=0,
        le=60,
        description="The longest pause between two files of one recorder that still makes them one run; "
        "recorders lose a second or two at every change of file.",
    )
    max_tracks: int = Field(
        default=64,
        ge=1,
        le=1000,
        description="Tracks of a recording that is opened; recorders write two to seven, and each further one costs every tool memory.",
    )
    max_picture_pixels: int = Field(
        default=36_000_000,
        ge=1,
        description="Pixels of a moving picture that is decoded: 8K; a decoder may hold seventeen of them at once.",
    )
    tool_memory: int = Field(
        default=16 * 2**30,
        ge=2**28,
        description="Bytes of address space of one media tool; 4K on 64 cores reserves most of it for threads and touches a tenth.",
    )
    tool_cpu_factor: int = Field(
        default=60,
        ge=1,
        le=10_000,
        description="Processor seconds of a media tool for each second of footage, beside ten minutes; one slow core needs 40 for 4K.",
    )
    tool_stall_seconds: int = Field(
        default=60,
        ge=1,
        description="Seconds without movement after which a media tool is ended; a store over a slow network may need more.",
    )
    worker: bool = Field(default=True, description="Whether serve starts a worker beside the web process.")
    failpoint: str = Field(default="", description="For crash tests only: the place at which the process ends itself.")

    @field_validator("agency")
    @classmethod
    def _agency_fits_a_number(cls, value: str) -> str:
        try:
            AccessionNumber(value, Kind.DOCUMENT, 2000, 1)
        except Malformed as why:
            raise ValueError("2 to 18 digits or capital letters") from why
        return value

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as why:
            raise ValueError("no such time zone") from why
        return value

    @property
    def tz(self) -> ZoneInfo:
        """The agency's time zone."""
        return ZoneInfo(self.zone)

    @property
    def signer_name(self) -> str:
        """The name that receipts are signed under; a signed note's key name has neither spaces nor plus signs."""
        return self.log_name or f"liuhen/{self.agency}"


class BadSettings(Exception):
    """The environment does not make settings; the text says which variables and why."""


def read(environ: Mapping[str, str], **overrides: object) -> Settings:
    """Return the settings that the environment makes; `overrides` are a command's own options and win.

    Raises:
        BadSettings: an unknown variable of our prefix, or a value that does not fit.
    """
    given: dict[str, object] = {
        name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)
    }
    given.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings.model_validate(given)
    except ValidationError as why:
        lines = [f"{PREFIX}{str(e['loc'][0]).upper()}: {_said(e['type'], e['msg'])}" for e in why.errors()]
        raise BadSettings("\n".join(lines)) from why


def _said(kind: str, message: str) -> str:
    return "no such setting" if kind == "extra_forbidden" else message


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables that make a child process read these same settings."""
    return {
        f"{PREFIX}{name.upper()}": str(int(value) if isinstance(value, bool) else value)
        for name, value in settings.model_dump().items()
    }
