"""Which carrier (载体) a source lies on, as far as the mount can tell.

A volume is known by its file system's UUID or serial, and by the device's own id where the system shows one, since cards formatted
in one factory may share a serial. Whatever has no such identity, and the station's own partitions, are folders: known by device and inode.

Not guaranteed: that two cards never share both. The journal therefore also goes by path, size, time and, in the end, digest.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archive.core.manifest import MAX_LABEL, Carrier

if TYPE_CHECKING:
    from collections.abc import Iterable

MOUNTS = Path("/proc/self/mountinfo")
DISKS = Path("/dev/disk")
_HOUSE = frozenset(map(Path, ("/", "/boot", "/home", "/opt", "/root", "/srv", "/tmp", "/usr", "/var")))  # noqa: S108 - named, not used
_OCTAL = re.compile(r"\\([0-7]{3})")
_HEX = re.compile(r"\\x([0-9a-f]{2})")
_MIN_FIELDS = 7
_LABEL_CHARS = 64


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: where, and from which device node."""

    point: Path
    source: str


@dataclass(frozen=True, slots=True)
class Volume:
    """A source's carrier and the folder its paths are counted from: the mount point of a volume, or the source itself.

    `device` is the file system's number, `node` the device node of a volume; both tell whether it is still there.
    """

    carrier: Carrier
    root: Path
    device: int | None = None
    node: Path | None = None

    def present(self) -> bool:
        """Whether the carrier is still there: a card that is pulled takes its device node with it, an unmounted one its file system."""
        try:
            status = self.root.stat()
        except OSError:
            return False
        return self.device in {None, status.st_dev} and (self.node is None or self.node.exists())


def identify(
    source: Path, *, label: str | None = None, kind: str | None = None, mounts: Path = MOUNTS, disks: Path = DISKS
) -> Volume:
    """Return the carrier that `source` (a resolved path) lies on; `label` overrules the volume's own.

    `kind` (room, scanner) says what somebody told us of it.

    Raises:
        OSError: the source is not there.
    """
    mount = _mount_of(source, _mounts(mounts))
    identity = None if mount is None or mount.point in _HOUSE else _identity(mount, disks)
    status = source.stat()
    if mount is None or identity is None:
        folder = source if source.is_dir() else source.parent
        name = f"dev {os.major(status.st_dev)}:{os.minor(status.st_dev)} inode {folder.stat().st_ino}"
        return Volume(Carrier(_clean(label or folder.name) or "folder", name, kind or "folder"), folder, device=status.st_dev)
    own = _links(disks / "by-label", mount.source)
    found = label or (own[0] if own else mount.point.name)
    node = Path(mount.source)
    carrier = Carrier(_clean(found) or "volume", identity, kind or "volume")
    return Volume(carrier, mount.point, device=status.st_dev, node=node if node.is_absolute() else None)


def _identity(mount: Mount, disks: Path) -> str | None:
    uuids = _links(disks / "by-uuid", mount.source)
    if not uuids:
        return None
    device = [name for name in _links(disks / "by-id", mount.source) if not name.startswith(("wwn-", "dm-", "lvm-"))]
    return _clean(" ".join([f"uuid:{uuids[0]}", *(f"id:{name}" for name in device[:1])]), longest=MAX_LABEL)


def mount_points(mounts: Path = MOUNTS) -> list[Path]:
    """Return where anything is mounted now."""
    return [mount.point for mount in _mounts(mounts)]


def _mounts(table: Path) -> list[Mount]:
    try:
        lines = table.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    return [found for found in map(_mount, lines) if found is not None]


def _mount(line: str) -> Mount | None:
    """Source: proc(5), /proc/pid/mountinfo: id parent major:minor root point options [optional…] - type source super."""
    before, dash, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if not dash or len(fields) < _MIN_FIELDS - 1 or len(rest) < 2:  # noqa: PLR2004 - type and source
        return None
    return Mount(Path(_unescaped(fields[4])), _unescaped(rest[1]))


def _mount_of(path: Path, mounts: Iterable[Mount]) -> Mount | None:
    holding = [mount for mount in mounts if path.is_relative_to(mount.point)]
    # the last of equally deep mounts is the one on top
    return max(enumerate(holding), key=lambda pair: (len(pair[1].point.parts), pair[0]))[1] if holding else None


def _links(folder: Path, device: str) -> list[str]:
    """Return the names by which udev links to the device, sorted."""
    try:
        node = Path(device).resolve()
        return sorted(_HEX.sub(_byte, link.name) for link in folder.iterdir() if link.resolve() == node)
    except OSError:
        return []


def _byte(found: re.Match[str]) -> str:
    return chr(int(found.group(1), 16))


def _unescaped(field: str) -> str:
    return _OCTAL.sub(lambda m: chr(int(m.group(1), 8)), field)


def _clean(text: str, *, longest: int = _LABEL_CHARS) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode("utf-8"))
    return " ".join(shown.split())[:longest].strip()
