"""The vectors of tus 1.0.0 that every server should be held to, and which test here holds each.

No conformance suite exists (tus/tus-resumable-upload-protocol, issue 117), so this is ours: the table names what the protocol's text and
other servers' bug trackers ask for, and this test that nothing of it has lost its test.
"""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent

VECTORS = {
    "OPTIONS answers without Tus-Resumable": "test_options_says_what_is_offered_without_being_asked_for_a_version",
    "412 on another version, with Tus-Version": "test_another_version_of_tus_is_refused_and_told_ours",
    "HEAD: Cache-Control no-store, Upload-Length": "test_a_new_upload_is_somewhere_relative_and_expires",
    "HEAD: Upload-Defer-Length": "test_a_deferred_length_is_said_once_and_the_upload_is_whole_with_it",
    "410 after expiry": "test_an_expired_upload_is_gone",
    "410 after termination, DELETE then HEAD": "test_a_terminated_upload_is_gone_with_its_bytes",
    "404 for what never was": "test_an_upload_that_never_was_is_not_found",
    "409 on an offset too low or too high, 415 on another content type": "test_bytes_that_begin_elsewhere_are_refused",
    "413 over the maximum, lengths that make no sense, duplicate metadata keys": "test_a_creation_that_makes_no_sense_is_refused",
    "413 over the declared length, before and during the body": "test_bytes_past_the_length_are_refused_before_and_during_the_body",
    "413 over the maximum while the length is unknown": "test_bytes_of_an_unknown_length_stay_within_the_archives_maximum",
    "a zero-length upload completes at its creation": "test_an_upload_of_nothing_is_whole_at_its_creation",
    "creation-with-upload, whole": "test_a_creation_may_bring_everything",
    "creation-with-upload, partial": "test_a_creation_may_bring_the_first_part",
    "a deferred length is set once, a second change refused": "test_a_second_other_length_is_refused_and_changes_nothing",
    "a deferred length on an empty PATCH": "test_a_deferred_length_may_come_with_no_bytes_at_all",
    "metadata: UTF-8, empty values, duplicate keys": "test_metadata_of_the_specification_and_of_real_clients_is_read",
    "checksum that holds": "test_a_checksum_that_holds_is_taken_for_each_body_alone",
    "checksum that does not: 460, the offset unchanged": "test_a_checksum_that_does_not_hold_leaves_the_offset_where_it_was",
    "checksum of an unknown algorithm: 400": "test_a_checksum_that_cannot_be_checked_is_refused",
    "X-HTTP-Method-Override": "test_a_post_may_stand_for_another_method",
    "concatenation: partial and final, order, PATCH on final 403": "test_a_final_upload_is_its_parts_in_the_order_given",
    "concatenation: absolute, relative and encoded addresses": "test_parts_may_be_named_by_any_spelling_of_their_address",
    "concatenation: parts that are not finished": "test_a_final_upload_waits_for_no_part",
    "concatenation: parts used twice or gone": "test_a_final_upload_of_the_wrong_parts_is_refused_and_leaves_them",
    "two PATCH at once": "test_many_requests_at_once_end_with_the_right_bytes",
    "a lock that a new request takes over": "test_a_newer_request_stops_an_older_one_and_goes_on_from_its_bytes",
    "HEAD without a lock": "test_a_newer_request_stops_an_older_one_and_goes_on_from_its_bytes",
    "GET without a lock": "test_asking_by_get_waits_for_nobody",
    "kill -9 in a PATCH: the offset is at most the bytes on disk": "test_tuspy_goes_on_after_the_server_was_killed",
    "resume after restart": "test_tus_js_client_goes_on_after_the_server_was_killed",
    "slow-loris: a body that stalls is ended, and keeps its bytes": "test_a_body_that_stalls_is_ended_keeps_what_came_and_frees_the_upload",
    "a slow body is not stalled": "test_a_slow_body_is_not_a_stalled_one",
    "a client that declares more than it sends": "test_tus_js_client_that_declares_more_than_its_file_has_is_answered_and_loses_nothing",
    "offsets past 4 GiB": "test_offsets_pass_four_gibibytes",
    "percent-encoded ids": "test_a_percent_encoded_name_is_the_same_name",
    "CORS: nothing is exposed, for no other site may upload": "test_options_says_what_is_offered_without_being_asked_for_a_version",
    "abandoned uploads are purged, rows and bytes": "test_a_sweep_ends_what_has_expired_and_drops_its_bytes",
    "abandoned parts are purged": "test_a_part_is_never_taken_in_by_itself_and_expires_with_its_bytes",
    "tus-js-client, parallel": "test_tus_js_client_uploads_in_parallel_and_the_parts_are_joined",
    "tus-js-client, deferred length": "test_tus_js_client_uploads_a_stream_whose_length_it_learns_at_its_end",
    "tuspy, SHA-1 of each chunk": "test_tuspy_uploads_in_chunks",
}


@pytest.fixture(scope="module")
def tests():
    files = [*HERE.glob("test_uploads*.py"), HERE / "test_intake.py", HERE.parent / "core" / "test_tus.py"]
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("vector", VECTORS)
def test_every_vector_has_its_test(tests, vector):
    assert VECTORS[vector] in tests
