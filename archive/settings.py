"""Every setting, in one frozen class; only entry points read it.

Settings come from the environment under the prefix LIUHEN_. A variable of that prefix that is no setting, or a value that does not fit,
refuses to start: a misspelt safeguard must not be a missing one. A secret may lie in a file, named by the same variable with _FILE.

The production profile refuses to start with a default that fits one machine only, and with a secret that everybody knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from archive.core.accession import AccessionNumber, Kind
from archive.core.errors import Malformed

PREFIX = "LIUHEN_"

SECRETS: Final = (
    "database_url",
    "broker_url",
    "s3_access_key",
    "s3_secret_key",
    "replica_access_key",
    "replica_secret_key",
    "metrics_token",
)
"""What may also be given as a file, and is never printed."""

_NEEDED: Final = ("database_url", "broker_url", "s3_endpoint", "s3_access_key", "s3_secret_key", "keys_dir")
_KNOWN_SECRETS: Final = frozenset({"minioadmin", "minio123", "changeme", "password", "secret", "archivesecret", "guest"})


class Profile(StrEnum):
    """Which engines stand behind the ports."""

    EMBEDDED = "embedded"
    PRODUCTION = "production"


class Settings(BaseModel):
    """What an installation decides. Sizes are bytes, times seconds unless the name says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    profile: Profile = Field(
        default=Profile.EMBEDDED,
        description="embedded: SQLite, a directory, a child worker; production: PostgreSQL, S3, RabbitMQ.",
    )
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
    database_url: str = Field(
        default="",
        repr=False,
        description="PostgreSQL, as this process's own role: postgresql://role:password@host:port/database.",
    )
    broker_url: str = Field(default="", repr=False, description="RabbitMQ: amqp://user:password@host:port/vhost.")
    s3_endpoint: str = Field(default="", description="The object store as this host reaches it: http(s)://host:port.")
    s3_public_endpoint: str = Field(default="", description="The object store as stations reach it; empty: as this host does.")
    s3_access_key: str = Field(default="", repr=False, description="The access key of the object store.")
    s3_secret_key: str = Field(default="", repr=False, description="The secret key of the object store.")
    s3_region: str = Field(default="us-east-1", description="The region that requests are signed for.")
    s3_originals: str = Field(default="liuhen-originals", description="The bucket of originals: versioned, locked.")
    s3_derived: str = Field(
        default="liuhen-derived", description="The bucket of renditions and quarantine: versioned, not locked."
    )
    s3_incoming: str = Field(default="liuhen-incoming", description="The bucket that stations send to directly.")
    lock_days: int = Field(
        default=30,
        ge=3,
        le=36500,
        description="Days that an original is locked (COMPLIANCE) at its put; once a day those past half their time are extended.",
    )
    direct_uploads: bool = Field(default=False, description="Let stations send large files straight to the object store.")
    direct_from_bytes: int = Field(
        default=64 * 2**20,
        ge=1,
        description="Size from which a station's file goes straight to the store: "
        "several parts at once pay for the requests more from two parts on.",
    )
    direct_part_bytes: int = Field(
        default=32 * 2**20,
        ge=5 * 2**20,
        le=5 * 2**30,
        description="Size of the parts in which it goes there: little enough to send again, "
        "and the request for each costs a fiftieth of sending it.",
    )
    replica_endpoint: str = Field(
        default="", description="A second object store that gets a copy of every original; empty: none."
    )
    replica_access_key: str = Field(default="", repr=False, description="The access key of the second store.")
    replica_secret_key: str = Field(default="", repr=False, description="The secret key of the second store.")
    replica_bucket: str = Field(default="liuhen-replica", description="The bucket of the second store.")
    keys_dir: Path | None = Field(
        default=None, description="Where the signing key is kept, the same for all hosts; by default in the data directory."
    )
    web_name: str = Field(
        default="", description="This web host's name, with which the ids of its uploads begin; in production `serve` needs one."
    )
    web_gone_seconds: int = Field(
        default=120, ge=5, description="Seconds of silence after which a web host, and what its spool held, counts as gone."
    )
    fixity_days: int = Field(
        default=90, ge=0, le=36500, description="Days after which an original is read again in full; 0: never by itself."
    )
    fixity_day_bytes: int = Field(
        default=2**40,
        ge=1,
        description="Bytes of originals that are promised to be read again in one day at most; one file at least.",
    )
    job_days: int = Field(default=90, ge=1, description="Days that finished jobs are kept.")
    copies_bytes: int = Field(
        default=50 * 2**30, ge=2**20, description="Bytes of scratch copies of originals that a worker's host keeps at most."
    )
    metrics_token: str = Field(
        default="", repr=False, description="The bearer token that may read /metrics; empty: signed-in people only."
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

    @field_validator("web_name")
    @classmethod
    def _name_fits_an_id(cls, value: str) -> str:
        if re.fullmatch(r"[a-z0-9]{0,20}", value) is None:
            raise ValueError("up to 20 small letters and digits")
        return value

    @field_validator("s3_endpoint", "s3_public_endpoint", "replica_endpoint")
    @classmethod
    def _endpoint_is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}):
            raise ValueError("http://host:port or https://host")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        """Refuse a production that lacks an engine, and an embedded archive that names one."""
        if self.profile is Profile.EMBEDDED:
            given = [name for name in (*_NEEDED[:5], "replica_endpoint", "direct_uploads") if getattr(self, name)]
            if given:
                raise ValueError(
                    f"only with {PREFIX}PROFILE=production: " + ", ".join(f"{PREFIX}{name.upper()}" for name in given)
                )
            return self
        flaws = [f"{PREFIX}{name.upper()} is missing" for name in _NEEDED if not getattr(self, name)]
        if self.database_url and urlsplit(self.database_url).scheme != "postgresql":
            flaws.append(f"{PREFIX}DATABASE_URL is not postgresql://…")
        if self.broker_url and urlsplit(self.broker_url).scheme not in {"amqp", "amqps"}:
            flaws.append(f"{PREFIX}BROKER_URL is not amqp://…")
        flaws.extend(
            f"{PREFIX}{name.upper()} is a secret that everybody knows" for name in SECRETS if _is_known(getattr(self, name))
        )
        if self.x_accel_prefix:
            flaws.append(f"{PREFIX}X_ACCEL_PREFIX is for a store that is a directory; nginx has no version of an object to serve")
        if self.replica_endpoint and not (self.replica_access_key and self.replica_secret_key):
            flaws.append(f"{PREFIX}REPLICA_ACCESS_KEY or {PREFIX}REPLICA_SECRET_KEY is missing")
        if len({self.s3_originals, self.s3_derived, self.s3_incoming}) < 3:  # noqa: PLR2004 - the three buckets
            flaws.append("originals, derived and incoming must be three buckets")
        if flaws:
            raise ValueError("; ".join(flaws))
        return self

    @property
    def production(self) -> bool:
        """Whether this is the production profile."""
        return self.profile is Profile.PRODUCTION

    @property
    def store_name(self) -> str:
        """What the store is called on record: its host and the bucket of originals."""
        return f"{urlsplit(self.s3_endpoint).netloc}/{self.s3_originals}" if self.production else "directory"

    @property
    def replica_name(self) -> str:
        """What the second store is called on record; empty where there is none."""
        return f"{urlsplit(self.replica_endpoint).netloc}/{self.replica_bucket}" if self.replica_endpoint else ""

    @property
    def keys(self) -> Path:
        """The directory of the signing key."""
        return self.keys_dir or self.data_dir / "keys"

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
    for name in SECRETS:
        if (path := given.pop(f"{name}_file", None)) is not None:
            given[name] = _secret_in(name, Path(str(path)), given)
    given.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings.model_validate(given)
    except ValidationError as why:
        lines = [
            f"{PREFIX}{str(e['loc'][0]).upper()}: {_said(e['type'], e['msg'])}" if e["loc"] else _said(e["type"], e["msg"])
            for e in why.errors()
        ]
        raise BadSettings("\n".join(lines)) from None  # pydantic's own words would print the values, secrets among them


def _secret_in(name: str, path: Path, given: Mapping[str, object]) -> str:
    if given.get(name):
        raise BadSettings(f"{PREFIX}{name.upper()} and {PREFIX}{name.upper()}_FILE are both given")
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as why:
        raise BadSettings(f"{PREFIX}{name.upper()}_FILE: {path} cannot be read") from why


def _is_known(secret: str) -> bool:
    """Say whether a secret, or the password in an address, is one that comes with a product or a text book."""
    password = urlsplit(secret).password if "://" in secret else secret
    return (password or "").lower() in _KNOWN_SECRETS


def _said(kind: str, message: str) -> str:
    return "no such setting" if kind == "extra_forbidden" else message.removeprefix("Value error, ")


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables that make a child process read these same settings."""
    return {
        f"{PREFIX}{name.upper()}": str(int(value) if isinstance(value, bool) else value)
        for name, value in settings.model_dump().items()
        if value is not None
    }
