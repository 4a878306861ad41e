"""ffprobe's JSON becomes integers, and hostile JSON becomes nothing."""

import json

from hypothesis import given
from hypothesis import strategies as st

from archive.core.instant import parse
from archive.core.media.telemetry import Position
from archive.core.media.tracks import Rational, facts

VIDEO = {
    "index": 0,
    "codec_type": "video",
    "codec_name": "h264",
    "profile": "Main",
    "codec_tag_string": "avc1",
    "width": 854,
    "height": 480,
    "sample_aspect_ratio": "4:3",
    "pix_fmt": "yuvj420p",
    "color_range": "pc",
    "level": 31,
    "field_order": "progressive",
    "r_frame_rate": "30000/1001",
    "avg_frame_rate": "30000/1001",
    "time_base": "1/90000",
    "start_pts": 0,
    "duration_ts": 1087086,
    "nb_frames": "362",
    "side_data_list": [{"side_data_type": "Display Matrix", "rotation": -90}],
    "tags": {"creation_time": "2017-04-17T19:27:57.000000Z"},
}


def test_a_recordings_facts_are_integers_and_rationals():
    found = facts({"streams": [VIDEO], "format": {"duration": "12.078733", "size": "4134647", "start_time": "-0.021333"}})
    (track,) = found.video
    assert found.duration_us == 12_078_733
    assert found.start_us == -21_333
    assert found.size == 4_134_647
    assert track.timebase == Rational(1, 90_000)
    assert track.sample_aspect == Rational(4, 3)
    assert (track.rotation, track.full_range, track.frames, track.frame_us) == (90, True, 362, 33_366)
    assert found.created_at == parse("2017-04-17T19:27:57+00:00")


def test_rotation_is_told_clockwise_from_either_place():
    assert facts({"streams": [VIDEO | {"side_data_list": [{"rotation": 180}]}]}).video[0].rotation == 180
    assert facts({"streams": [VIDEO | {"side_data_list": [], "tags": {"rotate": "270"}}]}).video[0].rotation == 270
    assert facts({"streams": [VIDEO | {"side_data_list": "x"}]}).video[0].rotation == 0


def test_uneven_frames_are_hinted_at():
    assert not facts({"streams": [VIDEO]}).video[0].variable_rate
    assert facts({"streams": [VIDEO | {"avg_frame_rate": "17/1"}]}).video[0].variable_rate
    assert not facts({"streams": [VIDEO | {"avg_frame_rate": "0/0"}]}).video[0].variable_rate


def test_an_unset_clock_is_no_creation_time():
    for unset in ("1904-01-01T00:00:00.000000Z", "1970-01-01T00:00:00.000000Z", "2017-04-17 19:27:57", "soon"):
        assert facts({"format": {"tags": {"creation_time": unset}}}).created_at is None


def test_a_phones_local_creation_date_comes_before_the_containers():
    tags = {"creation_time": "2026-03-12T04:04:51.000000Z", "com.apple.quicktime.creationdate": "2026-03-12T12:04:50+0800"}
    assert facts({"format": {"tags": tags}}).created_at == parse("2026-03-12T04:04:50+00:00")


def test_a_place_in_the_tags_becomes_a_position_and_no_tag():
    found = facts({"format": {"tags": {"location": "+39.9042+116.4074/", "firmware": "HD5"}}})
    assert found.location == Position(39_904_200, 116_407_400)
    assert found.tags == {"firmware": "HD5"}


def test_a_duration_is_taken_from_the_tracks_where_the_container_states_none():
    assert facts({"streams": [VIDEO], "format": {"duration": "N/A"}}).duration_us == 12_078_733
    assert facts({"streams": [VIDEO | {"duration_ts": "x"}]}).duration_us is None
    assert facts({"streams": [VIDEO | {"duration_ts": 0}], "format": {"duration": "0.000000"}}).duration_us == 0


def test_control_characters_and_long_texts_do_not_pass():
    found = facts({"format": {"tags": {"title": "a\x1b[31m\u202eb" + "x" * 5000, "n": 5}}})
    assert found.tags == {"title": "a[31mb" + "x" * 192}


def test_the_facts_hold_no_float():
    shown = json.dumps(facts({"streams": [VIDEO], "format": {"duration": "12.078733"}}).as_json())
    assert not any(isinstance(value, float) for value in _leaves(json.loads(shown)))


def _leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return [value]
    return [leaf for item in value for leaf in _leaves(item)]


hostile = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["9" * 40, "-1", "1/0", "0:0", "nan"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*VIDEO, "rotation", "disposition"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(sorted(VIDEO)), hostile, max_size=8),
    hostile,
    st.sampled_from(["video", "audio", "data", "x"]),
)
def test_no_json_makes_it_fail(changes, form, kind):
    found = facts({"streams": [VIDEO | changes | {"codec_type": kind}, changes], "format": form})
    json.dumps(found.as_json())
    for track in found.video:
        assert track.frame_us > 0
        assert 0 <= track.rotation < 360
        assert track.variable_rate in (True, False)


@given(hostile)
def test_no_root_makes_it_fail(root):
    facts(root)
