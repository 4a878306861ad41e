"""Footage for the demonstration, encoded by the ffmpeg of this machine from our own drawings and our own voices.

This is a trusted call: its inputs are made here, so none of the jail that evidence gets is used. The same arguments give the same
bytes with the same ffmpeg build (bit-exact muxing, seeded noise, wall time only from arguments). Not guaranteed: equal bytes across
ffmpeg builds, or with and without espeak-ng, whose place tones take where it is missing.
"""

from __future__ import annotations

import array
import math
import shutil
import subprocess
import wave
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from archive.core.errors import Unavailable
from archive.core.instant import iso, local
from archive.demo import scene

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from archive.core.instant import Instant

RATE = 20
"""Frames a second: a recorder's economy mode, and a fifth less to encode than 25."""
SPARSE = 5
"""Where nobody watches: to compose the pictures is most of the work."""

VOICE_HZ = 22_050
"""espeak-ng's own sample rate."""

OFFICER_SPEAKS = ("cmn", "38", "165")
OWNER_SPEAKS = ("cmn", "62", "180")

SCRIPT: tuple[tuple[int, tuple[str, str, str], str], ...] = (
    (2, OFFICER_SPEAKS, "您好，我们是桃城区市场监督管理局执法人员，这是我们的执法证件，请您过目。"),
    (12, OFFICER_SPEAKS, "现依法对你单位进行食品安全监督检查，全程录音录像，请予配合。"),
    (21, OWNER_SPEAKS, "好的，我是门店负责人，我配合检查。"),
    (28, OFFICER_SPEAKS, "请出示营业执照、食品经营许可证和进货票据。"),
    (37, OWNER_SPEAKS, "证照在墙上，票据我马上去拿。"),
    (44, OFFICER_SPEAKS, "这批酥饼的生产日期在这里，保质期六个月，已经超过保质期。"),
    (56, OWNER_SPEAKS, "这几箱是准备退货的，还没有来得及下架。"),
    (64, OFFICER_SPEAKS, "货架上共四箱，每箱二十四袋，请您一起清点确认。"),
    (74, OWNER_SPEAKS, "数量没有问题。"),
    (80, OFFICER_SPEAKS, "现对上述食品予以扣押，这是扣押决定书和财物清单，请您签收。"),
    (92, OFFICER_SPEAKS, "您享有陈述、申辩的权利。请核对现场检查笔录，无误后逐页签名。"),
    (104, OWNER_SPEAKS, "我看过了，记录属实。"),
    (112, OFFICER_SPEAKS, "请问这批酥饼是什么时候购进的，销售了多少？"),
    (121, OWNER_SPEAKS, "上个月购进十箱，卖出去六箱，剩下的都在这里。"),
    (132, OFFICER_SPEAKS, "以上情况是否属实，有没有补充？"),
    (139, OWNER_SPEAKS, "属实，没有补充。"),
)
"""What is said and when: seconds into the scene, voice, words."""

SCENE_S = 150


class Shape(StrEnum):
    """The kinds of file the recorders write."""

    H264 = "h264"
    H265 = "h265"
    MJPEG = "mjpeg"


class EncoderFailed(Unavailable):
    """ffmpeg could not make the demonstration's footage; `tail` holds its last words."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A recorder, who wears it, and where it stands."""

    recorder: str
    officer_number: str
    officer_name: str
    angle: scene.Angle


@dataclass(frozen=True, slots=True)
class Take:
    """One file to shoot: `into_scene` and `seconds` in whole seconds, `started` on the recorder's own clock, `rate` in frames a second."""

    camera: Camera
    shape: Shape
    started: Instant
    into_scene: int
    seconds: int
    rate: int = RATE


def props(folder: Path, *, angle: scene.Angle, produced: date) -> None:
    """Draw everything a camera at this angle needs into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    near, far = (scene.OWNER, scene.OFFICER) if angle.mirrored else (scene.OFFICER, scene.OWNER)
    words = ("现场检查通知", "被检查单位：衡水某食品有限公司", "检查事由：食品安全监督检查", "检查人员：张伟、李娜")
    drawings = {
        "wall": scene.wall(angle),
        "left": scene.person(near, stride=-1),
        "right": scene.person(near, stride=1),
        "still": scene.person(far, stride=0),
        "counter": scene.counter(angle),
        "packet": scene.packet(produced=produced, months=6),
        "notice": scene.notice(words),
    }
    for name, drawing in drawings.items():
        drawing.save(folder / f"{name}.png", compress_level=1)


def speak(target: Path, *, scratch: Path) -> None:
    """Write the scene's sound, mono 16 bit at 22 050 Hz: the script spoken by espeak-ng, or tones where that is missing."""
    frames = array.array("h", bytes(2 * VOICE_HZ * SCENE_S))
    speaker = shutil.which("espeak-ng")
    for n, (second, voice, words) in enumerate(SCRIPT):
        line = _tone(pitch=int(voice[1])) if speaker is None else _spoken(speaker, voice, words, scratch / f"line-{n}.wav")
        begin = second * VOICE_HZ
        line = line[: len(frames) - begin]
        frames[begin : begin + len(line)] = line
    with wave.open(str(target), "wb") as sound:
        sound.setparams((1, 2, VOICE_HZ, 0, "NONE", ""))
        sound.writeframes(frames.tobytes())


def _spoken(speaker: str, voice: tuple[str, str, str], words: str, target: Path) -> array.array[int]:
    language, pitch, speed = voice
    subprocess.run([speaker, "-v", language, "-p", pitch, "-s", speed, "-w", str(target), words], check=True, timeout=60)
    with wave.open(str(target), "rb") as line:
        return array.array("h", line.readframes(line.getnframes()))


def _tone(*, pitch: int) -> array.array[int]:
    """Return two seconds that rise and fall like a spoken sentence would."""
    count = 2 * VOICE_HZ
    return array.array(
        "h",
        (
            int(9000 * math.sin(math.pi * i / count) * math.sin(2 * math.pi * (180 + 3 * pitch) * i / VOICE_HZ))
            for i in range(count)
        ),
    )


def film(take: Take, target: Path, *, props: Path, sound: Path, zone: ZoneInfo) -> None:
    """Encode one take into `target`, whose suffix chooses the container.

    Raises:
        EncoderFailed: ffmpeg is missing or ended with an error.
    """
    stills = [argument for name in STILLS for argument in ("-framerate", str(take.rate), "-i", str(props / f"{name}.png"))]
    script = target.with_suffix(".osd")
    script.write_text(_clock_line(take, zone=zone), "utf-8")
    muffled = "lowpass=2600,volume=0.7" if take.camera.angle.mirrored else "volume=1.0"
    try:
        encode(
            *stills,
            *("-ss", str(take.into_scene), "-t", str(take.seconds), "-i", str(sound)),
            *("-filter_complex", f"{_picture(take, script)};[{len(STILLS)}:a]{muffled},apad[a]"),
            *("-map", "[v]", "-map", "[a]", "-t", str(take.seconds)),
            *_codecs(take.shape, take.rate),
            *("-metadata", f"creation_time={iso(take.started)}"),
            *("-metadata:s:v:0", f"creation_time={iso(take.started)}"),
            str(target),
        )
    finally:
        script.unlink(missing_ok=True)


STILLS = ("wall", "left", "right", "still", "counter", "packet", "notice")


def _clock_line(take: Take, *, zone: ZoneInfo) -> str:
    """Return the burnt-in line: the recorder's own clock, its number, who wears it.

    drawtext formats `pts + offset` as UTC, so the offset is what the zone's clock shows, read as if it were UTC.
    """
    shown = local(take.started, zone)
    offset = take.started // 1_000_000 + (shown.utcoffset() or timedelta()) // timedelta(seconds=1)
    return f"%{{pts:gmtime:{offset}:%Y-%m-%d %T}}  {take.camera.recorder}  {take.camera.officer_name}"


def _picture(take: Take, script: Path) -> str:
    """Return the filter graph that moves the drawings about and burns the clock in."""
    s = f"(t+{take.into_scene})"
    # Where and when things are: people walk behind the counter, papers are held up before it; from behind it is the other way about.
    if take.camera.angle.mirrored:
        walk, still, packet, notice, near, side = "760-230*sin", 300, (66, 78), (24, 34), 40, 960
    else:
        walk, still, packet, notice, near, side = "480+260*sin", 980, (43, 58), (4, 16), 110, 760
    sway = f"x='80+26*sin({s}*0.8)+5*sin({s}*3.1)':y='45+16*sin({s}*0.63)+4*sin({s}*4.7)'"
    clock = f"drawtext=textfile='{script}':fontfile='{scene.font_file()}':fontsize=27:fontcolor=white"
    layers = [
        f"[0:v]format=yuv420p,loop=loop=-1:size=1,settb=1/{take.rate},setpts=N[base]",
        *(f"[{n}:v]format=yuva420p[s{n}]" for n in range(1, len(STILLS))),
        f"[base][s3]overlay=x={still}+6*sin({s}*0.9):y=196+2*sin({s}*1.3)[b3]",
        f"[b3][s1]overlay=x={walk}({s}/6):y=186+6*abs(sin({s}*4.5)):enable='lt(mod({s},0.7),0.35)'[b1]",
        f"[b1][s2]overlay=x={walk}({s}/6):y=186+6*abs(sin({s}*4.5)):enable='gte(mod({s},0.7),0.35)'[b2]",
        "[b2][s4]overlay=x=0:y=0[b4]",
        f"[b4][s5]{_held(s, packet, x=near, rest=410)}[b5]",
        f"[b5][s6]{_held(s, notice, x=side, rest=300)}[b6]",
        f"[b6]crop={scene.FRAME[0]}:{scene.FRAME[1]}:{sway}[b7]",
        f"[b7]noise=c0s=7:c0f=t:c0_seed={take.camera.angle.seed}[b8]",
        f"[b8]{clock}:borderw=2:bordercolor=black@0.8:x=28:y=24[v]",
    ]
    return ";".join(layers)


def _held(s: str, span: tuple[int, int], *, x: int, rest: int) -> str:
    """Return the overlay of something that a hand brings up into the picture and takes away again."""
    begin, end = span
    lift = f"min(1\\,min(({s}-{begin})*1.6\\,({end}-{s})*1.6))"
    y = f"{scene.CANVAS[1]}-({scene.CANVAS[1]}-{rest})*{lift}+4*sin({s}*2.2)"
    return f"overlay=x={x}+5*sin({s}*1.7):y='{y}':enable='between({s}\\,{begin}\\,{end})'"


def _codecs(shape: Shape, rate: int) -> tuple[str, ...]:
    aac = ("-c:a", "aac", "-b:a", "64k", "-ar", "44100")
    every_two_seconds = ("-g", str(2 * rate))
    match shape:
        case Shape.H264:
            return ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "27", *every_two_seconds, *aac)
        case Shape.H265:
            quiet = ("-x265-params", "log-level=error", "-tag:v", "hvc1")
            return ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "30", *quiet, *every_two_seconds, *aac)
        case Shape.MJPEG:
            return ("-c:v", "mjpeg", "-q:v", "13", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le", "-ar", "16000")


def cut_sound(sound: Path, target: Path, *, begin: int, seconds: int, started: Instant) -> None:
    """Write a stretch of the scene's sound as an audio recording; the suffix (.wav, .m4a) chooses the format."""
    codec = ("-c:a", "aac", "-b:a", "48k") if target.suffix.lower() == ".m4a" else ("-c:a", "pcm_s16le", "-ar", "16000")
    stamp = ("-metadata", f"creation_time={iso(started)}")
    encode("-ss", str(begin), "-t", str(seconds), "-i", str(sound), *codec, *stamp, str(target))


def encode(*arguments: str) -> None:
    """Run ffmpeg over our own material.

    Raises:
        EncoderFailed: It is missing or ended with an error.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise EncoderFailed(tail="ffmpeg is not installed; infra/setup.sh installs it")
    exact = ("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")
    command = [program, "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments[:-1], *exact, arguments[-1]]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300)
    if done.returncode:
        raise EncoderFailed(tail=done.stderr.decode("utf-8", errors="replace")[-2000:])
