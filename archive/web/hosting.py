"""One web host among several: its name, its spool, and what it says of uploads whose bytes lie elsewhere.

Invariants: a host's name and its spool are one: a second process over the same spool, or over another one under the same name, does not
start, and a host whose name was taken while nobody heard of it ends itself. What was taken in, refused or ended is told by any host. Of an
upload under way on another host nothing is said but «later» while that host may come back; once it counts as gone the upload ends, here
and for good, and its sender begins anew. Nothing was freed: a station frees its recorder against a receipt, which comes later.

An archive on one machine has no host's name, and nothing here concerns it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from archive.actions import hosts
from archive.actions.hosts import HostView
from archive.actions.upload import UploadView
from archive.adapters.durable import sync_path
from archive.adapters.peers import Peers
from archive.core.errors import HostGone, LiuhenError, Unavailable
from archive.core.instant import Instant
from archive.resources import Resources
from archive.settings import BadSettings

MARK: Final = ".host"
"""The file in a spool that says whose it is; no upload's name begins with a dot."""

_LOOK_SECONDS: Final = 0.5

log = logging.getLogger("liuhen.web")


def require_here(resources: Resources, view: UploadView, *, now: Instant) -> None:
    """Pass an upload that this host can speak of: its bytes are in our spool, or it has ended and the database says how.

    Raises:
        HostGone: the host that held it is gone, and with it what was sent; the upload has ended.
        Unavailable: that host does not answer at the moment, or we are asked in its place.
    """
    if view.state == "expired" and view.refusal == HostGone.code:
        raise HostGone(id=view.id)
    if view.state != "receiving" or view.direct or holds(resources, view):
        return
    if not resources.peers.gone(view.host or "", at=time.monotonic()):
        raise Unavailable(id=view.id, host=view.host or "")
    with resources.transaction() as session:
        lost = hosts.lose(session, view.id, now=now)
    log.warning("upload %s has ended: its host %s is gone", view.id, view.host)
    if lost:
        raise HostGone(id=view.id)


def holds(resources: Resources, view: UploadView) -> bool:
    """Say whether an upload's bytes are, or were, in our spool."""
    return (view.host or "") in {"", resources.settings.web_name}


def gone(resources: Resources) -> frozenset[str]:
    """Return the web hosts that count as gone."""
    return resources.peers.all_gone(at=time.monotonic())


@contextmanager
def named(resources: Resources, *, lost: Callable[[], None] | None = None) -> Iterator[None]:
    """Be the web host of our settings' name as long as the context lasts, and go on saying so.

    Args:
        resources: Ours.
        lost: Called when our name has become another's; by default the process is asked to end.

    Raises:
        BadSettings: another process runs over this spool, or under this name over another spool.
        Unavailable: the database does not answer.
    """
    name = resources.settings.web_name
    if not name:
        yield
        return
    with _marked(resources.settings.data_dir / "spool", name, resources) as nonce:
        _claim(resources, nonce)
        _look(resources)
        ending = threading.Event()
        beating = threading.Thread(target=_beat, args=(resources, nonce, ending, lost or _end), name="beat", daemon=True)
        beating.start()
        try:
            yield
        finally:
            ending.set()
            beating.join()


@contextmanager
def _marked(spool: Path, name: str, resources: Resources) -> Iterator[str]:
    """Hold the spool's mark, which is made if there is none, and give its nonce."""
    descriptor = os.open(spool / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as why:
            raise BadSettings(f"another web process runs over {spool.absolute()}; a spool belongs to one") from why
        before, _, nonce = os.pread(descriptor, 200, 0).decode("ascii", "replace").strip().partition(" ")
        if nonce and before != name and resources.spool.ids():
            raise BadSettings(
                f"{spool.absolute()} holds uploads of the web host {before}, which only a host of that name can go on with; "
                f"set LIUHEN_WEB_NAME={before}, or another LIUHEN_DATA_DIR"
            )
        if before != name or len(nonce) != 32:  # noqa: PLR2004 - hexadecimal digits of 16 bytes
            nonce = secrets.token_hex(16)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{name} {nonce}\n".encode(), 0)
            os.fsync(descriptor)
            sync_path(spool)
        yield nonce
    finally:
        os.close(descriptor)


def _claim(resources: Resources, nonce: str) -> None:
    """Take our name; one that another spool had is taken once nothing was heard of that one for as long as makes it gone.

    Time in which the database did not answer does not count: that one could not be heard of either.
    """
    name, first = resources.settings.web_name, None
    watch = Peers(resources.peers.gone_after)
    while True:
        with resources.transaction() as session:
            other = hosts.claim(session, name=name, nonce=nonce, now=resources.now())
        if other is None:
            return
        looked = time.monotonic()
        watch.note({name: other.beat}, at=looked)
        if first is None:
            first = other
            log.warning(
                "web host %s was last another spool's; waiting %.0f s whether that one lives", name, resources.peers.gone_after
            )
        elif (other.nonce, other.beat) != (first.nonce, first.beat):
            raise BadSettings(
                f"another web process runs as {name} over another spool; every web host has a LIUHEN_WEB_NAME of its own"
            )
        elif watch.gone(name, at=looked) and _taken_over(resources, nonce, other):
            return
        time.sleep(_LOOK_SECONDS)


def _taken_over(resources: Resources, nonce: str, other: HostView) -> bool:
    with resources.transaction() as session:
        taken = hosts.take_over(session, name=other.name, nonce=nonce, before=other, now=resources.now())
    if taken:
        log.warning("the spool that was web host %s is gone; uploads whose bytes it held have ended", other.name)
    return taken


def _look(resources: Resources) -> None:
    """See how the others do."""
    with resources.reading() as session:
        found = hosts.every(session)
    resources.peers.note({each.name: each.beat for each in found}, at=time.monotonic())


def _beat(resources: Resources, nonce: str, ending: threading.Event, lost: Callable[[], None]) -> None:
    while not ending.wait(resources.peers.every):
        try:
            with resources.transaction() as session:
                ours = hosts.beat(session, name=resources.settings.web_name, nonce=nonce, now=resources.now())
            _look(resources)
        except LiuhenError as why:
            log.warning("the web host's sign of life was not written (%s); it is tried again", why)
            continue
        except Exception:
            log.exception("the web host's sign of life was not written; it is tried again")
            continue
        if not ours:
            log.critical("another spool is web host %s now; ending", resources.settings.web_name)
            lost()
            return


def _end() -> None:
    with suppress(ProcessLookupError):
        os.kill(os.getpid(), signal.SIGTERM)
