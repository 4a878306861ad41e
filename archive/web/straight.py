"""Direct uploads, the web's side of them: who is offered one, where it stands, and what is cleared away when it is over.

A station that can send straight to the store says so with a header at the creation; the answer names the size of the parts, or does not,
and then the bytes come here as ever. Any web host answers for a direct upload: no spool holds any of it, and its id names no host.

Invariants: the store's own upload is begun, and on record, before the first address is given; of two that begin it at once one remains.
A step that fails anywhere is done again by the station's next request, or by the sweep.

Not guaranteed: that what the store holds of an upload that ended is gone at once. A sweep clears it away.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from archive.actions import direct, upload
from archive.adapters.s3_incoming import PREFIX, incoming_key
from archive.core.access import Caller, StationCaller
from archive.core.errors import Fault, ObjectMissing, PartsDiffer, UploadGone, WrongWay
from archive.core.instant import HOUR, Instant
from archive.failpoints import failpoint
from archive.web import opening
from archive.web.appending import has_body
from archive.web.identity import resources_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from archive.actions.direct import Straight
    from archive.actions.upload import UploadView
    from archive.adapters.s3_client import Part
    from archive.adapters.s3_incoming import Incoming
    from archive.core import tus
    from archive.resources import Resources
    from archive.web.opening import Opening

CAN: Final = "liuhen-direct"
"""The header with which a station says that it can send straight to the store."""
PART_SIZE: Final = "Liuhen-Part-Size"
_ORPHAN_HOURS: Final = 1
"""How old a multipart upload must be that is on nobody's record, before it counts as left behind: it is put on record within seconds."""

_log = logging.getLogger(__name__)


def offered(request: Request, caller: Caller, asked: tus.Creation) -> int | None:
    """Return the size of the parts if this upload is to go straight to the store, None if its bytes come here.

    What came with a body is here already; a small file is one request here and five there; and a person's browser goes to no other site.
    """
    resources = resources_of(request)
    settings = resources.settings
    if resources.incoming is None or not settings.direct_uploads or not isinstance(caller, StationCaller):
        return None
    if request.headers.get(CAN) != "1" or has_body(request) or asked.concat is not None:
        return None
    if asked.length is None or asked.length < settings.direct_from_bytes:
        return None
    return settings.direct_part_bytes


def create(resources: Resources, wanted: Opening) -> UploadView:
    """Open an upload as `opening.create` does; a station that began it straight and now asks to send it here is let do so."""
    view = opening.create(resources, wanted)
    if view.direct and wanted.part_size is None:
        with resources.transaction() as session:
            ended = direct.supersede(session, view.id, now=wanted.now)
        failpoint("direct.superseded")
        if ended:
            return opening.create(resources, wanted)
    return view


def told(view: UploadView) -> dict[str, str]:
    """Return the header that says in which parts an upload goes straight to the store; none if it does not, or is all there."""
    return {PART_SIZE: str(view.part_size)} if view.direct and view.state == "receiving" else {}


def shown(view: UploadView) -> int:
    """Return the offset of a direct upload: its parts come in any order, so it has all of its bytes or none."""
    return (view.length or 0) if view.state in {"arrived", "stored"} else 0


def own(resources: Resources, upload_id: str, caller: Caller) -> tuple[Incoming, Straight]:
    """Return the store's side and the record of the caller's own direct upload.

    Raises:
        NotFound: there is none, or it is somebody else's.
        WrongWay: its bytes go through a web host; also where no store takes them any more.
        UploadGone: it ended without an accession, or its time has run out.
    """
    if resources.incoming is None:
        raise WrongWay(id=upload_id[:64])
    with resources.reading() as session:
        found = direct.own(session, upload_id, caller)
    if found.state not in {"receiving", "arrived", "stored", "refused"}:
        raise UploadGone(id=found.id, state=found.state)
    if found.under_way and found.expires_at <= resources.now():
        raise UploadGone(id=found.id, state="expired")
    return resources.incoming, found


def begun(resources: Resources, incoming: Incoming, found: Straight) -> Straight:
    """Return the upload with the store's own upload begun and on record.

    Raises:
        Unavailable: the store does not answer.
        UploadGone: the upload has ended.
    """
    return found if found.multipart is not None else _begin(resources, incoming, found)


def standing(resources: Resources, incoming: Incoming, found: Straight) -> tuple[Straight, list[Part]]:
    """Return the upload and the parts that the store has of it, so that a station goes on where it was.

    What the store has lost is begun anew; what it has put together already, though nobody here heard of it, has arrived.

    Raises:
        Unavailable: the store does not answer.
        UploadGone: the upload has ended.
    """
    if not found.under_way or found.multipart is None or found.key is None:
        return found, []
    try:
        return found, incoming.parts(found.key, found.multipart)
    except ObjectMissing:
        pass
    try:
        version = incoming.made(found.key)
    except ObjectMissing:
        _log.warning("the store lost the parts of upload %s; they are asked for again", found.id)
        return _begin(resources, incoming, found), []
    _arrived(resources, found.id, version)
    with resources.reading() as session:
        return direct.find(session, found.id), []


def moved(resources: Resources, found: Straight, *, now: Instant) -> None:
    """Give an upload that moves its full time again, once half of it is gone.

    Raises:
        UploadGone: the upload has ended.
    """
    later = opening.expiry(resources, now)
    if 2 * (found.expires_at - now) <= later - now:
        with resources.transaction() as session:
            upload.extend(session, found.id, expires_at=later)


def complete(resources: Resources, incoming: Incoming, found: Straight) -> str:
    """Let the store make one object of all parts, promise to take it in, and return the upload's state; asking again changes nothing.

    Raises:
        PartsDiffer: a part is missing, or has another size than the signed manifest gives it.
        Unavailable: the store does not answer; ask again.
        UploadGone: the upload has ended.
    """
    if not found.under_way:
        return found.state
    if found.key is None or found.multipart is None:
        raise PartsDiffer(id=found.id, number=1, wrong=found.parts.count)
    try:
        parts = incoming.parts(found.key, found.multipart)
        wrong = found.parts.wrong({part.number: part.size for part in parts})
        if wrong:
            raise PartsDiffer(id=found.id, number=wrong[0], wrong=len(wrong))
        version = incoming.complete(found.key, found.multipart, parts)
    except ObjectMissing:
        try:
            version = incoming.made(found.key)  # by a request whose answer nobody heard
        except ObjectMissing:
            raise PartsDiffer(id=found.id, number=1, wrong=found.parts.count) from None
    failpoint("direct.completed")
    return _arrived(resources, found.id, version)


def sweep(resources: Resources, now: Instant) -> list[str]:
    """End what came too slowly, clear away what the store holds of uploads that are over, and promise anew what failed to be taken in.

    Of what is on nobody's record only that goes which is old enough not to be on its way there. Returns what was cleared away.
    """
    incoming = resources.incoming
    if incoming is None:
        return []
    with resources.transaction() as session:
        direct.promise_again(session, agency=resources.settings.agency, now=now)
    with resources.transaction() as session:
        direct.expire(session, now=now)
    failpoint("direct.expired")
    gone = [found.id for found in _over(resources) if _clear(resources, incoming, found)]
    try:
        gone += _clear_orphans(resources, incoming, before=Instant(now - _ORPHAN_HOURS * HOUR))
    except Fault:
        _log.exception("what was left behind in the store could not be looked for; the next sweep does")
    return gone


def _begin(resources: Resources, incoming: Incoming, found: Straight) -> Straight:
    """Begin the store's own upload in the place of the one on record, if any."""
    key = incoming_key(found.id)
    made = incoming.begin(key)
    failpoint("direct.begun")
    with resources.transaction() as session:
        now_found = direct.begin(session, found.id, key=key, multipart=made, instead_of=found.multipart)
    failpoint("direct.kept")
    if now_found.multipart != made:
        incoming.abort(key, made)
    return now_found


def _arrived(resources: Resources, upload_id: str, version: str) -> str:
    with resources.transaction() as session:
        state = direct.arrive(session, upload_id, version=version, agency=resources.settings.agency, now=resources.now())
    failpoint("direct.arrived")
    return state


def _over(resources: Resources) -> Iterator[Straight]:
    """Yield every upload that is over and not cleared away, each once, whatever becomes of those before it."""
    last: Straight | None = None
    while True:
        with resources.reading() as session:
            found = direct.ended(session, after=last)
        if not found:
            return
        yield from found
        last = found[-1]


def _clear(resources: Resources, incoming: Incoming, found: Straight) -> bool:
    try:
        if found.key is not None:
            incoming.clear(found.key, found.multipart)
    except Fault:
        _log.exception("upload %s is over, and the store still holds bytes of it; the next sweep clears them away", found.id)
        return False
    failpoint("direct.cleared")
    with resources.transaction() as session:
        direct.cleared(session, found.id)
    return True


def _clear_orphans(resources: Resources, incoming: Incoming, *, before: Instant) -> list[str]:
    begun_before = {(key.removeprefix(PREFIX), multipart) for key, multipart, begun in incoming.begun() if begun < before}
    made_before = {key.removeprefix(PREFIX) for key, made in incoming.objects() if made < before}
    with resources.reading() as session:
        multiparts = direct.orphans(session, begun_before)
        made = direct.unwanted(session, made_before)
    for upload_id, multipart in multiparts:
        incoming.abort(incoming_key(upload_id), multipart)
    for upload_id in made:
        incoming.clear(incoming_key(upload_id), None)
    return [upload_id for upload_id, _ in multiparts] + made
