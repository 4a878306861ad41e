"""Damaged recordings, from accession to the page's words: every rung of the ladder, with the real jobs and tools."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from archive.web.pages import damage
from tests.damage import KINDS, hashes, recorded, scarred, take_in, without_index
from tests.media_files import Workshop, made, workshop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory):
    with workshop(tmp_path_factory.mktemp("archive")) as opened:
        yield opened


def file(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def copied(shop: Workshop, number: str, tmp_path: Path) -> Path:
    return file(tmp_path, "repair.mp4", shop.content(number, "repair"))


def codes(shop: Workshop, number: str) -> dict[str, dict]:
    return {found["code"]: found["facts"] for found in shop.item(number).findings}


def told(shop: Workshop, number: str) -> damage.Damage:
    return damage.shown(shop.item(number), list(shop.renditions(number).values()), working=False, say=lambda text: text)


def all_done(shop: Workshop, number: str) -> bool:
    return {view.state for view in shop.jobs(number).values()} == {"done"}


def test_a_file_without_its_index_waits_for_a_sibling_and_is_rebuilt_when_one_comes(shop: Workshop, tmp_path: Path):
    whole = recorded("aac.mp4", other=True)
    broken = take_in(shop, file(tmp_path, "lost.mp4", without_index(whole.read_bytes())), recorder="A1023", sequence=8)
    stranger = take_in(shop, recorded("aac.mp4"), recorder="B7000", sequence=7)
    shop.work()
    before = shop.item(broken)
    assert (before.condition, before.duration_us) == ("damaged", None)
    assert before.technical["repair"] == {"state": "no_sibling", "recorder": "A1023", "tried": []}
    assert shop.renditions(broken) == {}
    said = told(shop, broken)
    assert "A healthy recording of the same recorder (A1023) would let this one be rebuilt" in said.repair[0]
    assert ("The pictures were not looked at for black or unchanging stretches.", False) in said.looked
    assert not said.noted, "no number stands where nobody looked"
    assert shop.item(stranger).condition == "sound"

    healthy = take_in(shop, recorded("aac.mp4", seconds=2), recorder="A1023", sequence=7)
    shop.work()
    after, view = shop.item(broken), shop.renditions(broken)["repair"]
    assert all_done(shop, broken)
    assert after.condition == "damaged", "the original is as damaged as it was"
    assert after.technical["plan"]["action"] == "repair"
    assert abs(after.duration_us - 3_000_000) < 100_000
    how = view.provenance["repair"]
    assert (how["method"], how["sibling"]) == ("rebuild", {"number": healthy, "sha256": shop.item(healthy).sha256.hex})
    assert (how["written"], how["skipped_bytes"], view.provenance["complaints"]) == (75, 0, 0)
    assert view.provenance["decoded"] == 75
    assert how["guessed"] == ["picture_times", "sound_times", "sound_recoded"]
    said = told(shop, broken)
    assert said.note == "What plays here is a repaired copy and not the original."
    assert f"rebuilt after {healthy}" in said.repair[0]
    assert said.noted
    assert view.provenance["input"]["sha256"] == after.sha256.hex
    assert hashes(copied(shop, broken, tmp_path)) == hashes(whole)
    assert {"poster", "storyboard", "waveform"} <= set(shop.renditions(broken))
    assert after.technical["picture_notes"]["looked"] == 3
    assert after.technical["sound_notes"]["loudness_clu"] is not None

    again = take_in(shop, file(tmp_path, "again.mp4", without_index(whole.read_bytes())), recorder="A1023")
    shop.work()
    assert shop.item(again).technical["plan"]["action"] == "repair", "the same bytes again are repaired already"


def test_a_file_of_an_unknown_recorder_says_so_and_is_tried_again_when_it_comes_with_a_name(shop: Workshop, tmp_path: Path):
    whole = recorded("silent.mp4", other=True).read_bytes()
    take_in(shop, recorded("silent.mp4"), recorder="C1")
    nameless = take_in(shop, file(tmp_path, "lost.mp4", without_index(whole, keep=0.9)), recorder=None)
    shop.work()
    assert shop.item(nameless).technical["repair"] == {"state": "no_recorder"}
    named = take_in(shop, file(tmp_path, "named.mp4", without_index(whole, keep=0.9)), recorder="C1")
    shop.work()
    assert shop.item(named).technical["repair"]["state"] == "made"
    assert shop.item(nameless).technical["plan"]["action"] == "repair"


def test_a_sibling_of_other_settings_is_refused_and_named(shop: Workshop, tmp_path: Path):
    take_in(shop, recorded("hevc.mp4"), recorder="D1")
    broken = take_in(shop, file(tmp_path, "lost.mp4", without_index(recorded("aac.mp4").read_bytes(), keep=0.95)), recorder="D1")
    shop.work()
    facts = shop.item(broken).technical["repair"]
    assert (facts["state"], [tried["why"] for tried in facts["tried"]]) == ("failed", ["other_settings"])
    assert all_done(shop, broken)


def test_an_index_in_front_of_a_missing_end_tells_the_real_length(shop: Workshop, tmp_path: Path):
    front = made("front.mp4", "-i", str(recorded("aac.mp4")), "-c", "copy", "-movflags", "+faststart")
    content = front.read_bytes()
    number = shop.process(file(tmp_path, "front-cut.mp4", content[: len(content) * 6 // 10]))
    found, told = shop.item(number), codes(shop, number)
    assert {"truncated", "cut_short"} <= set(told)
    assert abs(found.technical["claimed_us"] - 3_000_000) < 100_000
    assert 1_000_000 < found.duration_us < 2_200_000
    assert shop.renditions(number)["repair"].provenance["repair"]["method"] == "tolerant_copy"
    assert abs(shop.renditions(number)["repair"].provenance["made_us"] - found.duration_us) < 300_000


def test_a_cut_fragmented_file_does_not_last_as_long_as_it_claims(shop: Workshop, tmp_path: Path):
    flags = "dash+frag_keyframe+global_sidx"
    content = made("fragments.mp4", "-i", str(recorded("aac.mp4")), "-c", "copy", "-movflags", flags).read_bytes()
    number = shop.process(file(tmp_path, "cut-fragments.mp4", content[: len(content) * 6 // 10]))
    told = codes(shop, number)["cut_short"]
    assert told["held_us"] == pytest.approx(shop.item(number).duration_us, abs=40_000)
    assert told["held_us"] < told["claimed_us"] - 900_000
    assert "repair" in shop.renditions(number)
    assert all_done(shop, number)


def test_cut_files_of_other_containers_are_measured_and_play(shop: Workshop, tmp_path: Path):
    for name, muxer in (("cut.avi", "avi"), ("cut.mkv", "matroska")):
        source = made(f"whole-{name}", "-i", str(recorded("alaw.mov")), "-c:v", "copy", "-c:a", "pcm_s16le", "-f", muxer)
        content = source.read_bytes()
        number = shop.process(file(tmp_path, name, content[: len(content) * 6 // 10]))
        found = shop.item(number)
        assert found.condition == "damaged"
        assert "truncated" in codes(shop, number), name
        assert found.duration_us < 2_400_000, name
        assert "remux" in shop.renditions(number), (name, {k: v.error_tail for k, v in shop.jobs(number).items()})


def test_lost_packets_and_foreign_bytes_of_a_transport_stream_are_counted(shop: Workshop, tmp_path: Path):
    content = made("whole.ts", "-i", str(recorded("aac.mp4")), "-c", "copy").read_bytes()
    third = len(content) // 3 // 188 * 188
    hurt = content[:third] + content[third + 5 * 188 : 2 * third] + b"\x00" * 300 + content[2 * third :]
    number = shop.process(file(tmp_path, "hurt.ts", hurt))
    told = codes(shop, number)
    assert told["packets_lost"]["lost"] >= 5
    assert told["packets_lost"]["first"] == third
    assert told["out_of_step"]["stray"] == 300
    assert shop.item(number).technical["packets"] == len(content) // 188 - 5


def test_key_frames_that_do_not_decode_are_counted_and_make_it_damaged(shop: Workshop, tmp_path: Path):
    whole = made(
        "noisy.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25,noise=c0s=20:c0f=t", "-t", "6", *KINDS["silent.mp4"]
    )
    number = shop.process(file(tmp_path, "scarred.mp4", scarred(whole.read_bytes(), keys=2)))
    told = codes(shop, number)["pictures_damaged"]
    assert (1 <= told["undecoded"] <= 2, told["looked"]) == (True, 6)
    assert shop.item(number).condition == "damaged"
    healthy = shop.process(whole)
    assert shop.item(healthy).condition == "sound"
    assert shop.item(healthy).technical["picture_notes"]["undecoded"] == 0


def test_black_unchanging_and_silent_stretches_are_noted(shop: Workshop):
    picture = (
        "color=black:s=192x108:r=25:d=4[a];testsrc2=s=192x108:r=25:d=3[b];color=gray:s=192x108:r=25:d=14[c];[a][b][c]concat=n=3"
    )
    sound = "aevalsrc='if(between(t,5,12),0.3*sin(2*PI*440*t),if(gt(t,12),0.0002*sin(2*PI*440*t),0))':s=48000:d=21"
    source = made(
        "disturbed.mp4",
        *("-filter_complex", f"{picture}[v];{sound}[s]", "-map", "[v]", "-map", "[s]", *KINDS["aac.mp4"]),
    )
    known = shop.item(shop.process(source)).technical
    seen = {span["kind"]: (span["start_us"], span["end_us"]) for span in known["picture_notes"]["spans"]}
    assert seen["black"] == (0, 4_000_000)
    assert seen["still"] == (7_000_000, pytest.approx(20_000_000, abs=1_000_000))
    heard = {span["kind"]: (span["start_us"], span["end_us"]) for span in known["sound_notes"]["spans"]}
    assert heard["muted"] == (0, pytest.approx(5_000_000, abs=200_000))
    assert heard["silent"] == (pytest.approx(12_000_000, abs=500_000), pytest.approx(21_000_000, abs=200_000))
    measured = subprocess.run(
        [
            "ffmpeg",
            "-hide_banner",
            "-nostats",
            "-i",
            str(source),
            "-map",
            "0:a",
            "-af",
            "ebur128",
            "-f",
            "null",
            "-",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    told = float(measured.rpartition("I:")[2].split()[0])
    assert known["sound_notes"]["loudness_clu"] / 100 == pytest.approx(told, abs=0.2)


def test_a_recording_of_key_frames_alone_is_looked_at_once_a_second(shop: Workshop):
    source = made(
        "intra.avi", "-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25", "-t", "5", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"
    )
    notes = shop.item(shop.process(source)).technical["picture_notes"]
    assert (notes["every"], notes["looked"]) == ("second", pytest.approx(5, abs=1))


def test_room_that_was_never_filled_is_a_remark_and_no_damage(shop: Workshop, tmp_path: Path):
    number = shop.process(file(tmp_path, "roomy.mp4", recorded("silent.mp4", seconds=2).read_bytes() + bytes(5000)))
    assert codes(shop, number)["unused_tail"]["count"] == 5000
    assert shop.item(number).condition == "sound"


def test_a_lying_index_beyond_all_bounds_is_no_sibling_and_no_crash(shop: Workshop, tmp_path: Path):
    content = bytearray(recorded("aac.mp4", seconds=2).read_bytes())
    at = content.rindex(b"stsz") + 12
    content[at : at + 4] = struct.pack(">I", 0xFFFFFFFF)
    liar = take_in(shop, file(tmp_path, "liar.mp4", bytes(content)), recorder="E1")
    broken = take_in(
        shop, file(tmp_path, "lost.mp4", without_index(recorded("aac.mp4", other=True).read_bytes(), keep=0.8)), recorder="E1"
    )
    shop.work()
    assert all_done(shop, broken)
    assert all_done(shop, liar)


def test_a_real_cameras_pictures_come_back_though_its_sound_lies_among_other_tracks(
    shop: Workshop, samples: Path, tmp_path: Path
):
    whole = samples / "karma.mp4"
    take_in(shop, whole, recorder="drone")
    broken = take_in(shop, file(tmp_path, "karma-lost.mp4", without_index(whole.read_bytes())), recorder="drone")
    shop.work()
    how = shop.renditions(broken)["repair"].provenance
    assert (how["decoded"], how["complaints"], how["repair"]["sound_left_out"]) == (362, 0, True)
    assert hashes(copied(shop, broken, tmp_path)) == hashes(whole)
    assert any("left out of the copy" in sentence for sentence in told(shop, broken).repair)
