"""What codes mean in words: every stable code that a page can meet, as an English sentence for the catalogues to translate.

Invariant: a page never shows a code in place of a sentence; `of` raises on a code that has no words, and a test walks all codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Say = Callable[[str], str]
"""Gives an English sentence in the reader's language."""


def N_(text: str) -> str:  # noqa: N802 - the name gettext's extractors know
    """Mark a text for the catalogues and return it as it is."""
    return text


KIND: Mapping[str, str] = {
    "recording": N_("Recording"),
    "photo": N_("Photo"),
    "audio": N_("Audio"),
    "document": N_("Document"),
}

STAGE: Mapping[str, str] = {
    "opening": N_("Opening"),
    "investigation": N_("Investigation"),
    "review": N_("Review"),
    "decision": N_("Decision"),
    "service": N_("Service"),
    "enforcement": N_("Enforcement"),
}

STATE: Mapping[str, str] = {
    "verified": N_("Verified"),
    "stored": N_("Stored, not read back yet"),
    "altered": N_("Altered: the bytes are not those received"),
    "missing": N_("Missing from the store"),
    "unreadable": N_("Cannot be read from the store"),
}

STATE_SHORT: Mapping[str, str] = {
    "verified": N_("Verified"),
    "stored": N_("Stored"),
    "altered": N_("Altered"),
    "missing": N_("Missing"),
    "unreadable": N_("Unreadable"),
}
"""For lists; the item's page says it in full."""

CONDITION: Mapping[str, str] = {
    "unchecked": N_("Not examined yet"),
    "sound": N_("No damage found"),
    "damaged": N_("Damaged"),
    "unrecognised": N_("Not recognised"),
}

UPLOAD: Mapping[str, str] = {
    "receiving": N_("Receiving"),
    "arrived": N_("Arrived, not taken in yet"),
    "stored": N_("Stored"),
    "refused": N_("Refused"),
    "terminated": N_("Ended by the sender"),
    "expired": N_("Expired"),
}

JOB_KIND: Mapping[str, str] = {
    "examine": N_("Examine"),
    "read_back": N_("Read back and verify"),
    "take_in": N_("Take in what a station sent to the store"),
    "assemble": N_("Put the document together"),
    "storyboard": N_("Storyboard"),
    "waveform": N_("Waveform"),
    "stream_hash": N_("Hash the streams"),
    "telemetry": N_("Positions"),
    "rendition": N_("Playable copy"),
    "repair": N_("Repair"),
    "notes": N_("Note silence and losses"),
    "pages": N_("Page images"),
    "page": N_("One page, before its turn"),
    "photo": N_("Photo preview"),
    "tiles": N_("Full resolution"),
    "restore": N_("Restore from the second copy"),
    "replicate": N_("Copy to the second store"),
    "extend_locks": N_("Extend locks"),
    "canary": N_("Try the object store"),
    "check": N_("Read an original again"),
    "prune": N_("Remove finished jobs"),
}

JOB_STATE: Mapping[str, str] = {
    "waiting": N_("Waiting"),
    "running": N_("Running"),
    "done": N_("Done"),
    "dead": N_("Failed"),
}

JOB_ERROR: Mapping[str, str] = {
    "worker_lost": N_("The worker stopped answering, three times."),
    "tool_failed": N_("The tool failed."),
    "internal": N_("The archive ran into a fault of its own."),
    "unavailable": N_("Something the job needs did not answer."),
    "disk_full": N_("The disk is full."),
    "mismatch": N_("What was made is not what was expected."),
    "object_missing": N_("The original is not in the store."),
    "store_refuses": N_("The object store refuses the archive's requests."),
    "rendition_rejected": N_("What was made is not what was planned, and was thrown away."),
}

RECIPE: Mapping[str, str] = {
    "original": N_("Original"),
    "audio-fix": N_("Copy with playable sound"),
    "repair": N_("Repaired copy"),
    "remux": N_("Copy in a playable container"),
    "transcode": N_("Transcoded copy (H.264)"),
    "poster": N_("poster"),
    "storyboard": N_("storyboard"),
    "storyboard-vtt": N_("storyboard times"),
    "waveform": N_("waveform"),
    "telemetry": N_("positions"),
    "stream-hash": N_("hashes of the streams"),
    "view": N_("photo for viewing"),
    "thumb": N_("small picture"),
}

EVENT: Mapping[str, str] = {
    "ingestion": N_("Taken in"),
    "fixity check": N_("Read back"),
    "metadata extraction": N_("Examined"),
    "derivation": N_("Rendition made"),
    "quarantine": N_("Quarantined"),
    "repair": N_("Repaired"),
    "viewing": N_("Viewed"),
    "dissemination": N_("Original downloaded"),
    "release": N_("Removed from the carrier"),
    "release barred": N_("Kept on the carrier"),
    "rule change": N_("Rule changed"),
    "store trial": N_("Object store tried"),
    "case opening": N_("Case opened"),
    "binding": N_("Bound to a case"),
    "unbinding": N_("Unbound from a case"),
    "station enrolment": N_("Station enrolled"),
    "station revocation": N_("Station revoked"),
    "account creation": N_("Account made"),
    "sign-in": N_("Signed in"),
}

VERDICT: Mapping[str, str] = {
    "intact": N_("intact"),
    "altered": N_("altered"),
    "missing": N_("missing"),
    "unreadable": N_("unreadable"),
}

LOOK: Mapping[str, str] = {
    "page": N_("item page"),
    "replay": N_("replay"),
    "pages": N_("pages"),
    "download": N_("download"),
    "ahead": N_("sent ahead to a player, not played"),
}

STARTED_FROM: Mapping[str, str] = {
    "name": N_("read from the file name"),
    "media": N_("read from the media"),
}

PLAN: Mapping[str, str] = {
    "damaged": N_("The original is damaged; what is left of it is copied into a file of the right length."),
    "plays": N_("The original plays in a browser as it is."),
    "audio_codec": N_("Browsers do not decode this sound; the pictures are kept as they are, the sound is converted."),
    "audio_profile": N_("Browsers do not decode this profile of AAC; the sound is converted."),
    "container": N_("Browsers do not open this container; the tracks are repacked unchanged."),
    "track_order": N_("A browser would choose the wrong track; the tracks are repacked in order."),
    "no_duration": N_("The file states no duration; the tracks are repacked so that one can seek."),
    "no_times": N_("The file does not say when each picture is shown; the pictures are transcoded so that it does."),
    "video_codec": N_("Browsers cannot be relied on to decode these pictures; they are transcoded to H.264."),
    "video_profile": N_("Browsers do not decode this profile of H.264; the pictures are transcoded."),
    "pixel_format": N_("Browsers do not decode this pixel format; the pictures are transcoded."),
    "level": N_("The pictures ask more of a decoder than browsers promise; they are transcoded."),
    "interlaced": N_("The pictures are interlaced; they are transcoded to whole frames."),
    "size": N_("The pictures are larger than browsers decode; they are transcoded."),
    "pictures_too_large": N_("The pictures are larger than is decoded here. The original is kept and can be downloaded."),
    "no_preview": N_("Documents of this kind are kept and not shown."),
    "photo": N_("This is a photo."),
    "document": N_("This is a document."),
    "encrypted": N_("The tracks are encrypted; without the maker's key nothing can be played. The original is kept."),
    "no_streams": N_("No picture or sound track was found in the file. The original is kept."),
    "container_unsupported": N_("No player here opens this container. The original is kept and can be downloaded."),
    "video_codec_unsupported": N_("No player here decodes these pictures. The original is kept and can be downloaded."),
    "audio_codec_unsupported": N_("No player here decodes this sound. The original is kept and can be downloaded."),
}

REFUSAL: Mapping[str, tuple[str, str]] = {
    "not_found": (
        N_("Not found"),
        N_("There is no such page or record, or your account may not see it. Check the number and search for it."),
    ),
    "malformed": (N_("Not understood"), N_("A value does not have the form it must have. Go back and correct it.")),
    "sign_in_required": (N_("Sign in first"), N_("This page is for people who have signed in.")),
    "not_allowed": (N_("Not allowed"), N_("Your account may not do this. Ask whoever runs the archive.")),
    "cross_site": (N_("Refused for safety"), N_("The request came from another site. Open the page here and do it again.")),
    "wrong_credentials": (N_("Sign-in refused"), N_("The name or the password is wrong.")),
    "too_many_attempts": (N_("Too many attempts"), N_("Too many sign-ins failed. Wait fifteen minutes, then try again.")),
    "body_too_large": (N_("Too much at once"), N_("What was sent is longer than any form here. Files go in by the page Upload.")),
    "page_taken": (N_("Page is there already"), N_("This page of the document has come already.")),
    "case_exists": (N_("Number taken"), N_("A case of this number is open already.")),
    "already_bound": (N_("Bound already"), N_("The item is bound to this case and stage already.")),
    "release_barred": (N_("Stays on the recorder"), N_("The agency's carrier rule keeps this file on its recorder.")),
    "not_verified": (N_("Not verified"), N_("The bytes were not found intact the last time they were read.")),
    "job_not_dead": (N_("Not failed"), N_("Only a job that has failed for good can be run again.")),
    "disk_full": (N_("Disk full"), N_("The disk is full. Nothing was lost; make room and try again.")),
    "unavailable": (N_("Try again"), N_("A part of the archive did not answer. Nothing was lost; try again soon.")),
    "store_refuses": (
        N_("Store refuses"),
        N_("The object store refuses the archive's requests. Nothing was lost; tell whoever runs the archive."),
    ),
    "object_missing": (
        N_("Bytes missing"),
        N_("The archive has a record of these bytes, but they are not in the store. Tell whoever runs the archive at once."),
    ),
    "not_playable": (
        N_("Nothing to show"),
        N_("There is nothing of this item that can be shown this way. Download the original instead."),
    ),
    "too_early": (N_("Too early"), N_("The bytes have not been read back yet. Try again in a moment.")),
}
"""Title and what to do, of every refusal that a page can run into; programs get the code itself and docs/refusals.md."""

OTHER_REFUSAL = (N_("Refused"), N_("A rule says no, and nothing was changed. The code below names the rule."))
FAULT = (
    N_("Something broke"),
    N_(
        "The archive ran into a fault. Nothing you entered was half done: it was done whole or not at all. "
        "Try again; if it stays, pass the code below to whoever runs the archive."
    ),
)

PLAYER: Mapping[str, str] = {
    "player": N_("Player"),
    "position": N_("Position"),
    "waveform": N_("Waveform of the sound"),
    "storyboard": N_("Pictures along the recording"),
    "watched": N_("Played since this page was opened"),
    "speed": N_("Speed"),
    "source": N_("What is played"),
    "play": N_("Play"),
    "pause": N_("Pause"),
    "space_key": N_("Space"),
    "frame": N_("Frame {number}"),
    "frame_back": N_("One frame back"),
    "frame_forward": N_("One frame forward"),
    "mute": N_("Sound off"),
    "full_screen": N_("Full screen"),
    "keys": N_("Keys"),
    "close": N_("Close"),
    "copied": N_("Copied"),
    "clock_unverified": N_("clock unverified"),
    "silence": N_("silence {length}"),
    "fell_back": N_("{from}: this browser cannot play it. Playing: {to}."),
    "cannot_play": N_("This browser cannot play it. Download the original and open it with a media player."),
    "undelivered": N_("{from}: the archive could not deliver it ({code})."),
    "nothing_plays": N_("A playable copy is being made. It appears here by itself."),
    "key_play": N_("Play or pause"),
    "key_shuttle": N_("Back, stop, forward; again for faster"),
    "key_arrows": N_("Five seconds"),
    "key_small": N_("One second"),
    "key_frames": N_("One frame"),
    "key_files": N_("File before, next file"),
    "file_of": N_("File {number} of {count}"),
    "elsewhere": N_("Now playing file {place}, {number}; what stands below belongs to {own}"),
    "file_back": N_("File before"),
    "file_forward": N_("Next file"),
    "gap": N_("nothing on record for {length} s"),
    "overlap": N_("both files hold these {length} s"),
    "by_time": N_("joined by time alone"),
    "file_preparing": N_("File {number} is being prepared: playback stops here. Press play to try again."),
    "file_unshown": N_("File {number} cannot be shown: {reason}"),
    "recorder_clock": N_("recorder {time}"),
    "starts": N_("from {time}"),
    "noted_black": N_("Black picture"),
    "noted_still": N_("The picture does not change"),
    "noted_silent": N_("Nothing to be heard"),
    "noted_muted": N_("No sound at all"),
    "unbound_part": N_("not bound to this case"),
    "run_files": N_("{count} files"),
    "key_ends": N_("Beginning, end"),
    "timeline": N_("Timeline"),
    "zoom_in": N_("Zoom in"),
    "zoom_out": N_("Zoom out"),
    "fit": N_("Show all"),
    "fold": N_("Fold this idle stretch"),
    "unfold": N_("Nothing on record for {length}; press to unfold"),
    "minutes": N_("{count} min"),
    "hours": N_("{count} h"),
    "days": N_("{count} days"),
    "key_walk": N_("Earlier, later"),
    "key_climb": N_("Lane above, below"),
    "key_open": N_("Play or open"),
    "key_zoom": N_("Zoom"),
    "key_unfold": N_("Unfold or fold all idle stretches"),
    "pages": N_("Pages"),
    "page": N_("Page {number}"),
    "page_of": N_("{number} / {count}"),
    "page_back": N_("Page before"),
    "page_forward": N_("Next page"),
    "page_number": N_("Page number"),
    "page_waits": N_("This page is being drawn."),
    "page_unreadable": N_("This page cannot be drawn: its part of the file is damaged. The original can be downloaded."),
    "page_failed": N_("This page could not be drawn. The original is kept and can be downloaded."),
    "undelivered_page": N_("The archive could not deliver this page. It is tried again when the page is opened again."),
    "undrawn_list": N_("The pages are being looked up."),
    "full_waits": N_("Full resolution is being prepared: {percent} %"),
    "full_failed": N_("Full resolution could not be prepared. The page is shown at reading size; the original has all of it."),
    "key_first_last": N_("First, last page"),
    "key_jump": N_("Go to a page number"),
    "key_full_size": N_("One pixel of the scan on one of the screen"),
    "key_pan": N_("Move the page"),
    "fit_width": N_("Fit to width"),
    "fit_page": N_("Fit whole page"),
    "rotate": N_("Rotate"),
    "key_pages": N_("Page before, next page"),
}
"""What the components on a page may say, by the names that archive/web/ui uses."""

APART: Mapping[str, str] = {
    "officer": N_("%(number)s meets it in time and is not joined: it names another officer."),
    "clock": N_("%(number)s meets it in time and is not joined: its clock was corrected differently."),
    "sequence": N_("%(number)s meets it in time and is not joined: its number is not the next."),
    "overlap": N_("%(number)s meets it in time and is not joined: one lies within the other."),
}
"""Why a file that nearly belongs to a run does not."""

PAGE_LIST = N_("List of pages")
JOB_FAULT = N_("The archive ran into a fault of its own.")
YES = N_("yes")
NO = N_("no")
LANE_STAGES = N_("Stage")
LANE_PAPERS = N_("Papers and photos")
LANE_UNKNOWN = N_("Recorder not known")
BIND_REFUSED: Mapping[str, str] = {
    "item": N_("There is no item of this number."),
    "case": N_("There is no case of this number."),
    "stage": N_("Choose a stage."),
    "paper_time": N_("The time on the paper is no date and time."),
}
CASE_REFUSED: Mapping[str, str] = {
    "case_number": N_("Case number: write 1 to %(limit)s characters, on one line."),
    "case_title": N_("Title: write 1 to %(limit)s characters, on one line."),
    "case_subject": N_("Subject: write 1 to %(limit)s characters, on one line."),
    "case_matter": N_("Matter: write up to %(limit)s characters, on one line."),
}
CASE_TAKEN = N_("A case of this number is open already: %(number)s.")
NOT_EXAMINED = N_("The bytes are safe; what is inside is being found out. This page follows by itself.")
DAMAGED = N_("The file is damaged and nothing of it could be shown. It is kept exactly as it came; what is wrong stands below.")
UNRECOGNISED = N_("No program here knows this kind of file. It is kept exactly as it came.")
BEING_DRAWN = N_("Its pictures are being drawn. They appear here by themselves.")
NOT_MADE = N_("What plays in a browser could not be made; processing says why. The original is kept and can be downloaded.")
NO_PREVIEW: Mapping[str, str] = {
    "ofd": N_(
        "An OFD document is shown faithfully only by an OFD reader, and a record shown wrongly is worse than none. "
        "The original is kept and can be downloaded."
    ),
    "office": N_(
        "A document of an office program is shown faithfully only by such a program. The original is kept and can be downloaded."
    ),
    "ole": N_(
        "A document of an office program is shown faithfully only by such a program. The original is kept and can be downloaded."
    ),
}
"""By container: documents that are kept and not drawn."""
NOTHING_SHOWN = N_("Nothing of this item can be shown in a browser. The original is kept and can be downloaded.")

ACTOR: Mapping[str, str] = {
    "archive": N_("the archive itself"),
    "operator": N_("whoever runs the archive"),
    "nobody": N_("nobody signed in"),
}

FINDING: Mapping[str, str] = {
    "truncated": N_("The file ends too early: it declares %(declared)s bytes and has %(real)s; %(missing)s are missing."),
    "moov_missing": N_(
        "The recorder did not finish the file, most likely because it lost power while recording: the table of contents that it writes "
        "last (moov) is missing. Pictures and sound are there, but nothing says where."
    ),
    "cut_short": N_("The recording claims to last %(claimed_us)s and holds %(held_us)s; the rest is not in the file."),
    "index_missing": N_(
        "The recorder did not finish the file: the list of pictures that it writes last (idx1) is missing. Jumping within it may be slow."
    ),
    "index_twice": N_("The file has %(count)s tables of contents; the first was read."),
    "unused_tail": N_(
        "From byte %(first)s on the file is empty (%(count)s bytes): room that the recorder took beforehand and did not fill."
    ),
    "foreign_tail": N_("From byte %(first)s on there are %(count)s bytes that are no part of the recording."),
    "packets_lost": N_(
        "Parts of the recording are missing: at %(breaks)s places at least %(lost)s of %(packets)s packets are lost, first at byte "
        "%(first)s. There the picture may freeze or tear."
    ),
    "out_of_step": N_(
        "%(stray)s bytes within the recording are not part of it, first at byte %(first)s: "
        "writing was disturbed there, or the file was cut."
    ),
    "pictures_damaged": N_(
        "%(undecoded)s of %(looked)s key frames that were looked at do not decode, or not wholly: pictures there are torn or stand still."
    ),
    "probe_failed": N_("The file cannot be read as what it claims to be."),
    "too_many_tracks": N_("The file has more than %(most)s tracks, which no recorder writes; it was not opened."),
    "pictures_too_large": N_("The pictures are %(size)s, larger than is decoded here."),
    "pictures_unreadable": N_("The file has an index of pictures, and not one of them can be decoded."),
    "sound_unreadable": N_("The file has a sound track, and nothing of it can be decoded."),
    "examination_failed": N_("The program that looked into the file broke down or had to be stopped; the file was not opened."),
    "more_findings": N_("Examination found %(count)s more of the same kind."),
    "no_streams": N_("No picture or sound track was found in the file."),
    "image_too_large": N_("The picture is too large to be drawn safely (%(words)s)."),
    "image_unreadable": N_("The picture cannot be decoded."),
    "image_truncated": N_("The picture ends too early; what is there was drawn."),
    "document_encrypted": N_("The document is locked with a password; its pages cannot be drawn."),
    "document_unreadable": N_("The document cannot be opened."),
    "too_many_pages": N_("The document has %(words)s pages; only the first ones were drawn."),
    "page_unreadable": N_("Page %(page)s cannot be drawn."),
}
ADVICE: Mapping[str, str] = {
    "truncated": N_(
        "If the recorder or its card still holds the file, dock it again before the recorder is used. "
        "If not, what is here is all there is; its maker may be able to recover more."
    ),
    "probe_failed": N_(
        "If the recorder or its card still holds the file, dock it again. Its maker's own program may still open it."
    ),
    "packets_lost": N_("If the recorder or its card still holds the file, dock it again and compare."),
    "pictures_damaged": N_(
        "If the recorder or its card still holds the file, dock it again and compare; a worn card is a common cause."
    ),
}
"""What can be done about a finding, where something can."""
REMARKS = frozenset({"index_twice", "unused_tail", "foreign_tail"})
"""Findings that are worth knowing and are no damage."""
FINDING_OTHER = N_("Examination found something it has no words for: %(code)s.")
