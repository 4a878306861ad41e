"""What the upload page says: the words of its component, and every refusal that an upload can run into, as sentences for the catalogues.

Beside `words`, so that no other page carries them.
"""

from __future__ import annotations

from collections.abc import Mapping

from archive.web.pages.words import N_

UPLOADING: Mapping[str, str] = {
    "state_staged": N_("Not sent yet"),
    "state_queued": N_("In line"),
    "state_hashing": N_("Reckoning the digest"),
    "state_sending": N_("Sending"),
    "state_waiting": N_("Line broken, trying again"),
    "state_paused": N_("Paused"),
    "state_stored": N_("Stored"),
    "state_verified": N_("Verified"),
    "state_flawed": N_("Flawed"),
    "state_refused": N_("Refused"),
    "state_broken": N_("Interrupted"),
    "state_cancelled": N_("Cancelled"),
    "sum_staged": N_("{count} not sent yet"),
    "sum_going": N_("{count} under way"),
    "sum_paused": N_("{count} paused"),
    "sum_in": N_("{count} taken in"),
    "sum_wrong": N_("{count} to look at"),
    "sum_cancelled": N_("{count} cancelled"),
    "start": N_("Send"),
    "start_count": N_("Send {count}"),
    "pause_all": N_("Pause all"),
    "go_on_all": N_("Go on"),
    "left": N_("{time} to go"),
    "choose_row": N_("Choose {name}"),
    "cancel_one": N_("Cancel"),
    "send_again": N_("Send again"),
    "remove_row": N_("Take from the list"),
    "copy_digest": N_("Copy the whole digest"),
    "same_bytes": N_("The same bytes came before; they are kept once, as"),
    "goes_on": N_("Goes on where it stopped, for: {where}"),
    "no_case": N_("no case"),
    "refused_otherwise": N_("The archive refused it ({code})."),
    "case_unknown": N_("No case of this number is open."),
    "case_unasked": N_("The archive could not be asked about this case; try again."),
    "draft": N_("New document"),
    "draft_pages": N_("{pages} pages, {size}"),
    "draft_title": N_("Title of the document"),
    "title_missing": N_("Write a title."),
    "too_many": N_("A document has at most {most} pages."),
    "dissolve": N_("Back to single files"),
    "order": N_("Order"),
    "order_by_hand": N_("as arranged by hand"),
    "order_by_name": N_("by file name"),
    "order_backs_last": N_("two-sided: fronts, then backs from the last page"),
    "order_backs_in_order": N_("two-sided: fronts, then backs from the first page"),
    "page_earlier": N_("Earlier"),
    "page_later": N_("Later"),
    "page_out": N_("Take out of the document"),
    "leaf": N_("page {page} of {pages}"),
    "paper_of": N_("document of {pages} pages"),
    "paper_coming": N_("{arrived} of {pages} pages are in"),
    "paper_joining": N_("All pages are in; the document is being put together"),
    "paper_waits": N_("The document waits for page {missing}"),
    "arrived_part": N_("{part} is here"),
    "choose_names": N_("choose again: {names}"),
    "forget": N_("Give up and forget"),
}
"""By the names that archive/web/ui uses."""

REFUSED: Mapping[str, str] = {
    "malformed": N_("The archive did not understand what was sent with this file; tell whoever runs the archive."),
    "malformed.recorder": N_("The recorder's name is too long or holds characters that cannot be shown."),
    "malformed.title": N_("The document's title is too long or holds characters that cannot be shown."),
    "malformed.document": N_("The document was begun with another number of pages, or by somebody else."),
    "malformed.filename": N_("The file's name cannot be read; rename it and choose it again."),
    "sign_in_required": N_(
        "You are signed out. Sign in again in another tab, then press «Send again»: it goes on where it stopped."
    ),
    "not_allowed": N_("Your account may not upload. Ask whoever runs the archive."),
    "not_found.case": N_("No case of this number is open any more."),
    "page_taken": N_("This page of the document has come already."),
    "upload_too_large": N_("The file is {length}; the archive takes at most {maximum} at once."),
    "past_length": N_("The file has grown since it was chosen. Choose it again."),
    "file_unreadable": N_("The file cannot be read any more: it was changed, moved or its carrier taken out. Choose it again."),
    "digest_mismatch": N_(
        "What arrived is not what was read here before sending. It is kept in quarantine; choose the file again."
    ),
    "checksum_mismatch": N_("What arrived is not what was sent. Send it again."),
    "upload_gone": N_("What was sent of it earlier is no longer there. Send it again from the beginning."),
    "host_gone": N_("What was sent of it earlier is no longer there. Send it again from the beginning."),
    "upload_busy": N_("Another request writes to this upload. Send it again in a moment."),
    "upload_taken_over": N_("This file is being sent from another tab or window; watch it there."),
    "unavailable": N_("The archive cannot be reached. What was sent is kept; it goes on when you press «Send again»."),
    "disk_full": N_(
        "The archive's disk is full. What was sent is kept; it goes on when there is room and you press «Send again»."
    ),
    "numbers_spent": N_("The year's numbers are spent. Tell whoever runs the archive."),
    "cross_site": N_("The request came from another site. Open the page here and do it again."),
    "mismatch": N_("The archive found its own copy of these bytes wrong. Tell whoever runs the archive at once."),
    "internal": N_("The archive ran into a fault of its own. Nothing was half taken in; send it again."),
}
"""By code, and where a code means several things by `code.what`."""
