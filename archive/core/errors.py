"""What can go wrong, told apart: a refusal is a rule saying no, a fault is a tool that broke.

    LiuhenError
    ├── Refusal            the caller asked for what the rules do not allow; nothing was lost; asking again changes nothing
    └── Fault
        ├── Unavailable    a tool, disk or store did not answer; try again
        └── Mismatch       two things that must agree do not; do not try again, look

Every refusal and fault has a code: public, never renamed, never reused. `archive.web.errors` maps codes to HTTP statuses and
docs/refusals.md explains each; a test holds the three together. Faults that verification *finds* are flaws and are returned as
values, never raised.
"""

from __future__ import annotations

from typing import ClassVar


class LiuhenError(Exception):
    """Anything this program raises on purpose."""

    code: ClassVar[str]

    def __init__(self, **facts: str | int) -> None:
        self.facts = facts
        super().__init__(f"{self.code}: " + ", ".join(f"{name}={value}" for name, value in facts.items()))


class Refusal(LiuhenError):
    """A rule says no."""


class Fault(LiuhenError):
    """A tool broke; `again` says whether the same call may succeed later."""

    again: ClassVar[bool]


class Unavailable(Fault):
    """A tool, disk or store did not answer; try again."""

    code = "unavailable"
    again = True


class Mismatch(Fault):
    """Two things that must agree do not; trying again will not help."""

    code = "mismatch"
    again = False


class Internal(Fault):
    """Something went wrong that nobody foresaw; the operator's log says what, and nothing that was acknowledged is affected."""

    code = "internal"
    again = False


class NotFound(Refusal):
    """There is no such thing, or the caller may not know of it."""

    code = "not_found"


class Malformed(Refusal):
    """A value is not of the form its type demands."""

    code = "malformed"


class SignInRequired(Refusal):
    """Nobody is signed in, and this needs somebody."""

    code = "sign_in_required"


class NotAllowed(Refusal):
    """This caller may not do this."""

    code = "not_allowed"


class CrossSite(Refusal):
    """A browser sent this from another site's page."""

    code = "cross_site"


class WrongCredentials(Refusal):
    """The name or the password is wrong; which of them is not said."""

    code = "wrong_credentials"


class TooManyAttempts(Refusal):
    """Too many failed sign-ins; wait before the next."""

    code = "too_many_attempts"


class DiskFull(Unavailable):
    """The disk is full; what was received is kept, and the upload goes on when there is room again."""

    code = "disk_full"


class BodyTooLarge(Refusal):
    """The body is longer than any form or document of the interface; files are uploads."""

    code = "body_too_large"


# Uploads (tus 1.0.0)


class TusVersionUnsupported(Refusal):
    """The request names no version of tus, or one that is not spoken here."""

    code = "tus_version_unsupported"


class OffsetConflict(Refusal):
    """The bytes do not begin where the upload stands; ask for the offset and go on from there."""

    code = "offset_conflict"


class WrongContentType(Refusal):
    """The body of an upload must be application/offset+octet-stream."""

    code = "wrong_content_type"


class UploadTooLarge(Refusal):
    """The declared length is more than this archive takes in one upload."""

    code = "upload_too_large"


class PastLength(Refusal):
    """The body goes past the length that was declared at creation; what came before is kept."""

    code = "past_length"


class LengthFixed(Refusal):
    """The upload's length was declared before, and is another one; it is declared once."""

    code = "length_fixed"


class PartsUnfinished(Refusal):
    """A final upload is made of partial uploads that have all of their bytes; one of these has not."""

    code = "parts_unfinished"


class FinalUpload(Refusal):
    """A final upload consists of its parts; nothing is added to it by hand."""

    code = "final_upload"


class ChecksumUnsupported(Refusal):
    """The checksum's algorithm is not one of those offered."""

    code = "checksum_unsupported"


class ChecksumMismatch(Refusal):
    """The body does not hash to the checksum sent with it; the upload stands where it stood before."""

    code = "checksum_mismatch"


class DigestMismatch(Refusal):
    """All bytes arrived, and they are not the bytes that were declared; they are kept aside for a person to look at."""

    code = "digest_mismatch"


class UploadGone(Refusal):
    """The upload was ended, expired or refused; make a new one."""

    code = "upload_gone"


class HostGone(UploadGone):
    """The web host that held what was sent of this upload is gone; nothing was freed, so send it again from the beginning."""

    code = "host_gone"


class PartsApart(Refusal):
    """The parts of this final upload lie on different web hosts; send them again, all through one of them."""

    code = "parts_apart"


class PageTaken(Refusal):
    """This page of the document has come already."""

    code = "page_taken"


class UploadBusy(Refusal):
    """Another request writes to this upload and did not stop in time; try again."""

    code = "upload_busy"


class UploadTakenOver(Refusal):
    """A newer request took this upload over; what this one sent is kept."""

    code = "upload_taken_over"


class BodyStalled(Refusal):
    """The body stopped coming; what came is kept, and the upload goes on from there."""

    code = "body_stalled"


class WrongWay(Refusal):
    """These bytes go the other way: straight to the store or through the archive itself, as the answer to the upload's creation said."""

    code = "wrong_way"


class PartsDiffer(Refusal):
    """What the store has of a direct upload is not what its signed manifest says: parts are missing, or of another size."""

    code = "parts_differ"


class RangeUnsatisfiable(Refusal):
    """The asked range lies outside the file."""

    code = "range_unsatisfiable"


# Stations, accession, items


class StationRevoked(Refusal):
    """This station's key is no longer accepted; enrol it anew."""

    code = "station_revoked"


class StationExists(Refusal):
    """A station of this name is enrolled already."""

    code = "station_exists"


class NonceSpent(Refusal):
    """The nonce was used, has expired, or was never given to this station; ask for another."""

    code = "nonce_spent"


class ManifestMissing(Refusal):
    """A station's upload comes with a signed manifest, or not at all."""

    code = "manifest_missing"


class ManifestWrong(Refusal):
    """The manifest is not this station's, its signature does not hold, or it describes another upload."""

    code = "manifest_wrong"


class TooEarly(Refusal):
    """What was asked for does not exist yet, and will when the bytes have been read back; ask again soon."""

    code = "too_early"


class ReleaseBarred(Refusal):
    """The agency's carrier rule keeps this file on its recorder; the reason and, where it is a case's matter, the case are in the facts."""

    code = "release_barred"


class NotVerified(Refusal):
    """The item's bytes were not found intact the last time they were read, so the recorder is not freed of them."""

    code = "not_verified"


class NumbersSpent(Refusal):
    """All numbers of this agency, kind and year are taken."""

    code = "numbers_spent"


class NotPlayable(Refusal):
    """There is nothing of this item that could be shown this way."""

    code = "not_playable"


class StoreRefuses(Unavailable):
    """The object store understood and will not: its key, a right, a bucket or a clock is wrong. Nothing is known of any object by it."""

    code = "store_refuses"


class ObjectMissing(Fault):
    """Bytes that the archive has a record of are not in the store."""

    code = "object_missing"
    again = False


# Cases


class CaseExists(Refusal):
    """A case of this number is open already."""

    code = "case_exists"


class AlreadyBound(Refusal):
    """The item is bound to this case and stage already."""

    code = "already_bound"


# Jobs


class LeaseLost(Fault):
    """The job was given to another worker, because this one was not heard of in time; what it made is thrown away."""

    code = "lease_lost"
    again = False


class JobNotDead(Refusal):
    """Only a job that has failed for good can be run again by hand."""

    code = "job_not_dead"


# The dock, which runs beside a recorder and not in the server


class JournalBusy(Refusal):
    """Another run of the dock holds this journal; two at once would upload twice."""

    code = "journal_busy"


class SourceChanged(Refusal):
    """A file on the recorder changed between two looks at it; it is hashed anew."""

    code = "source_changed"


class ServerRefused(Refusal):
    """The server said no to the dock; its own code is in the facts."""

    code = "server_refused"


# Media tools.


class ToolFailed(Fault):
    """A media or document tool failed, was stopped, or made no progress; its last words are kept."""

    code = "tool_failed"
    again = True


class RenditionRejected(Mismatch):
    """What a tool made is not what was asked for, so it is not published."""

    code = "rendition_rejected"
