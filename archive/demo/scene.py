"""Drawings for the demonstration: a food shop seen from two sides, the people in it, and the packet all of this is about.

Everything is drawn, nobody is depicted, and the same seed draws the same pixels. Shapes are drawn at twice the size and scaled
down, because Pillow does not smooth polygon edges. Not guaranteed: equal pixels across Pillow or font releases.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from archive.core.errors import Unavailable

if TYPE_CHECKING:
    from datetime import date

CANVAS = (1440, 810)
"""Larger than the 1280×720 frame by an eighth, so that a hand-held camera has room to sway."""

FRAME = (1280, 720)

FONT_FOLDERS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".fonts")

Colour = tuple[int, int, int]

PACKETS: tuple[Colour, ...] = (
    (196, 58, 48), (226, 164, 60), (62, 120, 84), (52, 92, 150), (232, 222, 196),
    (142, 70, 96), (210, 112, 52), (88, 148, 160), (240, 240, 236), (108, 84, 62),
)  # fmt: skip


class FontMissing(Unavailable):
    """No Chinese font is installed; `infra/setup.sh` installs one."""


@dataclass(frozen=True, slots=True)
class Angle:
    """Where a camera stands: which wall it sees, in what light, and which way round people move."""

    seed: int
    light: Colour
    mirrored: bool


FRONT = Angle(seed=1023, light=(255, 252, 244), mirrored=False)
BACK = Angle(seed=1077, light=(238, 244, 255), mirrored=True)


@cache
def font_file(*, serif: bool = False, bold: bool = False) -> Path:
    """Return the file of a Noto CJK font as Debian's fonts-noto-cjk installs it.

    Raises:
        FontMissing: There is none.
    """
    name = f"Noto{'Serif' if serif else 'Sans'}CJK-{'Bold' if bold else 'Regular'}.ttc"
    for folder in FONT_FOLDERS:
        for found in sorted(folder.rglob(name)):
            return found
    raise FontMissing(font=name)


@cache
def font(size: int, *, serif: bool = False, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the simplified Chinese face at a pixel size."""
    simplified = 2  # the collections hold JP, KR, SC, TC, HK in this order
    return ImageFont.truetype(str(font_file(serif=serif, bold=bold)), size, index=simplified)


def wall(angle: Angle) -> Image.Image:
    """Return what stands behind the counter as this camera sees it, 1440×810 RGB."""
    dice = random.Random(angle.seed)  # noqa: S311 - a picture, not a secret
    width, height = CANVAS[0] * 2, CANVAS[1] * 2
    picture = Image.new("RGB", (width, height), (205, 203, 196))
    draw = ImageDraw.Draw(picture)
    _ceiling(draw, width)
    _floor(draw, width, height)
    _signboard(draw, width, dice)
    left, right = (620, width - 130) if angle.mirrored else (130, width - 620)
    for row in range(4):
        _shelf(draw, dice, left=left, right=right, top=430 + row * 188)
    _fridge(draw, dice, left=90 if angle.mirrored else width - 560)
    # The wall is out of focus, the counter is not: that is how depth reads in a small picture.
    small = picture.filter(ImageFilter.GaussianBlur(2.2)).resize(CANVAS, Image.Resampling.LANCZOS)
    return _vignette(ImageChops.multiply(small, Image.new("RGB", CANVAS, angle.light)))


def counter(angle: Angle) -> Image.Image:
    """Return the counter that stands before the people, 1440×810 RGBA, transparent above it."""
    dice = random.Random(angle.seed + 1)  # noqa: S311 - a picture, not a secret
    picture = Image.new("RGBA", (CANVAS[0] * 2, CANVAS[1] * 2), (0, 0, 0, 0))
    _counter(ImageDraw.Draw(picture), dice, mirrored=angle.mirrored)
    return picture.resize(CANVAS, Image.Resampling.LANCZOS)


def _ceiling(draw: ImageDraw.ImageDraw, width: int) -> None:
    draw.rectangle((0, 0, width, 250), fill=(222, 222, 218))
    for x in range(-200, width, 330):
        draw.line((x, 0, x + 160, 250), fill=(206, 206, 202), width=4)
    for x in (300, 1180, 2060):
        draw.polygon([(x, 40), (x + 520, 40), (x + 560, 92), (x + 20, 92)], fill=(255, 255, 250))
        draw.line((x, 40, x + 520, 40), fill=(180, 180, 176), width=4)
    draw.rectangle((0, 250, width, 262), fill=(168, 166, 160))


def _floor(draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    top = 1190
    draw.rectangle((0, top, width, height), fill=(176, 170, 160))
    for i in range(-24, 25):
        draw.line((width / 2 + i * 90, top, width / 2 + i * 360, height), fill=(158, 152, 142), width=3)
    y, step = float(top), 26.0
    while y < height:
        draw.line((0, y, width, y), fill=(158, 152, 142), width=3)
        y, step = y + step, step * 1.35


def _signboard(draw: ImageDraw.ImageDraw, width: int, dice: random.Random) -> None:
    draw.rectangle((90, 286, width - 90, 400), fill=(150, 32, 34))
    draw.rectangle((90, 286, width - 90, 296), fill=(206, 160, 80))
    draw.text((150, 302), "衡水某食品有限公司  直营门店", font=font(74, bold=True), fill=(250, 232, 186))
    draw.text((width - 700, 316), dice.choice(["粮油  干货  糕点", "休闲食品  调味品"]), font=font(52), fill=(250, 232, 186))


def _shelf(draw: ImageDraw.ImageDraw, dice: random.Random, *, left: int, right: int, top: int) -> None:
    board = top + 160
    draw.rectangle((left, top - 20, right, board), fill=(122, 116, 108))
    x = left + 14
    while x < right - 70:
        wide, tall, colour = dice.randrange(46, 96), dice.randrange(84, 150), dice.choice(PACKETS)
        for _ in range(dice.randrange(1, 5)):
            if x + wide > right - 10:
                break
            draw.rectangle((x, board - tall, x + wide - 5, board), fill=colour, outline=_darker(colour))
            draw.rectangle((x + 8, board - tall + 22, x + wide - 13, board - tall + 48), fill=_lighter(colour))
            x += wide
        if dice.random() < 0.7:  # noqa: PLR2004 - most packets carry a price tag
            draw.rectangle((x - wide, board + 2, x - wide + 52, board + 26), fill=(250, 246, 220))
    draw.rectangle((left, board, right, board + 28), fill=(214, 212, 206), outline=(150, 148, 142))


def _fridge(draw: ImageDraw.ImageDraw, dice: random.Random, *, left: int) -> None:
    draw.rectangle((left, 424, left + 470, 1290), fill=(238, 240, 242), outline=(150, 154, 158), width=6)
    draw.rectangle((left + 26, 520, left + 444, 1200), fill=(188, 212, 222))
    draw.text((left + 60, 444), "冷藏 2–8 ℃", font=font(54, bold=True), fill=(30, 88, 150))
    for row in range(4):
        for column in range(9):
            colour, x, y = dice.choice(PACKETS), left + 40 + column * 44, 560 + row * 160
            draw.rounded_rectangle((x, y, x + 36, y + 112), 10, fill=_lighter(colour))
        draw.rectangle((left + 26, 676 + row * 160, left + 444, 684 + row * 160), fill=(240, 246, 250))
    draw.line((left + 235, 520, left + 235, 1200), fill=(238, 240, 242), width=12)


def _counter(draw: ImageDraw.ImageDraw, dice: random.Random, *, mirrored: bool) -> None:
    width, height, top = CANVAS[0] * 2, CANVAS[1] * 2, 1330
    draw.polygon([(0, top), (width, top - 30), (width, height), (0, height)], fill=(118, 86, 56))
    draw.polygon([(0, top), (width, top - 30), (width, top + 40), (0, top + 70)], fill=(164, 126, 86))
    for x in range(60, width, 210):
        draw.line((x, top + 74, x - 30, height), fill=(100, 72, 46), width=4)
    boxes, till = (1900, 560) if mirrored else (250, width - 900)
    for n in range(4):
        x, y = boxes + n * 190, top - 90 - (n % 2) * 12
        draw.rectangle((x, y, x + 176, y + 120), fill=(194, 158, 108), outline=(140, 110, 70), width=4)
        draw.rectangle((x, y + 48, x + 176, y + 64), fill=(222, 196, 150))
        draw.text((x + 22, y + 74), "酥饼 24 袋", font=font(28), fill=(90, 60, 30))
    till -= dice.randrange(80)
    screen = [(till + 20, top - 330), (till + 230, top - 340), (till + 236, top - 200), (till + 26, top - 192)]
    shine = [(till + 34, top - 318), (till + 218, top - 326), (till + 222, top - 214), (till + 40, top - 206)]
    draw.rectangle((till, top - 190, till + 260, top + 20), fill=(54, 58, 64))
    draw.polygon(screen, fill=(30, 34, 40))
    draw.polygon(shine, fill=(96, 150, 190))


def _vignette(picture: Image.Image) -> Image.Image:
    """Darken the corners, as a cheap wide lens does."""
    mask = Image.radial_gradient("L").resize(picture.size)
    return Image.composite(picture.point(lambda value: value * 0.62), picture, mask.point(lambda value: max(0, value - 90)))


def _darker(colour: Colour) -> Colour:
    return tuple(int(part * 0.72) for part in colour)  # type: ignore[return-value] # three parts in, three out


def _lighter(colour: Colour) -> Colour:
    return tuple(int(255 - (255 - part) * 0.45) for part in colour)  # type: ignore[return-value] # three parts in, three out


@dataclass(frozen=True, slots=True)
class Figure:
    """Somebody in the scene: what they wear, and what is written on it."""

    coat: Colour
    trousers: Colour
    hair: Colour
    words: str = ""
    apron: Colour | None = None


OFFICER = Figure(coat=(30, 44, 78), trousers=(24, 32, 54), hair=(26, 24, 24), words="市场监管")
OWNER = Figure(coat=(118, 108, 96), trousers=(62, 60, 62), hair=(40, 34, 30), apron=(148, 42, 44))


def person(figure: Figure, *, stride: int) -> Image.Image:
    """Return one pose of a figure, 220×560 RGBA; `stride` is −1, 0 or 1 for left foot, standing, right foot."""
    picture = Image.new("RGBA", (440, 1120), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    skin, sleeve = (214, 170, 140), _darker(figure.coat)
    for side in (-1, 1):
        hip, foot = 220 + side * 46, 220 + side * 46 + stride * side * 58
        draw.line((hip, 640, foot, 1050), fill=figure.trousers, width=86)
        draw.rounded_rectangle((foot - 52, 1040, foot + 60, 1086), 20, fill=(28, 26, 26))
    for side in (-1, 1):
        hand = 220 + side * 150 - stride * side * 44
        draw.line((220 + side * 108, 300, hand, 640), fill=sleeve, width=64)
        draw.ellipse((hand - 34, 620, hand + 34, 694), fill=skin)
    draw.rounded_rectangle((96, 250, 344, 690), 66, fill=figure.coat)
    if figure.apron:
        draw.rounded_rectangle((130, 380, 310, 780), 26, fill=figure.apron)
        draw.line((150, 260, 160, 390), fill=figure.apron, width=18)
        draw.line((290, 260, 280, 390), fill=figure.apron, width=18)
    if figure.words:
        draw.rectangle((96, 430, 344, 472), fill=(206, 216, 226))
        draw.text((220, 392), figure.words, font=font(54, bold=True), fill=(232, 238, 246), anchor="mm")
        draw.rectangle((128, 306, 196, 330), fill=(206, 160, 80))
    draw.rectangle((186, 210, 254, 268), fill=_darker(skin))
    draw.ellipse((144, 60, 296, 244), fill=skin)
    draw.pieslice((138, 40, 302, 226), 175, 365, fill=figure.hair)
    if figure.words:
        draw.rounded_rectangle((132, 40, 308, 104), 26, fill=(24, 34, 62))
        draw.rectangle((120, 98, 320, 114), fill=(16, 20, 36))
    shadow = picture.getchannel("A").filter(ImageFilter.GaussianBlur(2))
    picture.putalpha(shadow)
    return picture.resize((220, 560), Image.Resampling.LANCZOS)


def packet(*, produced: date, months: int) -> Image.Image:
    """Return a packet held up to the camera with the date that is the matter of the case, 460×420 RGBA."""
    picture = Image.new("RGBA", (920, 840), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    for x in (150, 690):
        draw.rounded_rectangle((x - 70, 470, x + 130, 840), 60, fill=(208, 164, 136))
    draw.rounded_rectangle((120, 40, 800, 640), 28, fill=(214, 150, 58), outline=(150, 96, 30), width=8)
    draw.rectangle((120, 150, 800, 270), fill=(158, 34, 36))
    draw.text((460, 210), "传统酥饼", font=font(88, bold=True), fill=(252, 236, 196), anchor="mm")
    draw.rectangle((170, 320, 750, 590), fill=(250, 246, 232))
    lines = (f"生产日期：{produced:%Y-%m-%d}", f"保 质 期：{months} 个月", "净 含 量：400 g")
    for n, line in enumerate(lines):
        draw.text((200, 336 + n * 82), line, font=font(50), fill=(46, 40, 36))
    for x in (150, 690):  # thumbs lie over the packet
        draw.rounded_rectangle((x - 20, 520, x + 80, 700), 46, fill=(220, 178, 150))
    return picture.rotate(3, Image.Resampling.BICUBIC).resize((460, 420), Image.Resampling.LANCZOS)


def notice(lines: tuple[str, ...]) -> Image.Image:
    """Return a form held up to the camera: a title, then lines of text, 420×540 RGBA."""
    picture = Image.new("RGBA", (840, 1080), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((60, 30, 800, 1000), fill=(246, 246, 242), outline=(190, 190, 186), width=4)
    draw.text((420, 130), lines[0], font=font(62, serif=True, bold=True), fill=(30, 30, 30), anchor="mm")
    for n, line in enumerate(lines[1:]):
        draw.text((120, 220 + n * 84), line, font=font(40, serif=True), fill=(50, 50, 50))
        draw.line((120, 282 + n * 84, 720, 282 + n * 84), fill=(170, 170, 168), width=3)
    draw.ellipse((520, 720, 730, 930), outline=(196, 40, 40), width=10)
    draw.text((625, 826), "★", font=font(90), fill=(196, 40, 40), anchor="mm")
    draw.rounded_rectangle((10, 860, 160, 1140), 60, fill=(208, 164, 136))
    return picture.rotate(-4, Image.Resampling.BICUBIC).resize((420, 540), Image.Resampling.LANCZOS)
