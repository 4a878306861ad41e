"""The scanned papers of the inspection: A4 pages as an office scanner would give them, slightly askew, greyish, signed, stamped.

The layout follows the 现场笔录 form that market supervision offices fill in; all persons, numbers and the company are invented.
The same arguments draw the same pages. Not guaranteed: equal bytes across Pillow or font releases.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from archive.demo.scene import font

if TYPE_CHECKING:
    from datetime import date, datetime
    from pathlib import Path

DPI = 150
A4 = (1240, 1754)
LEFT, RIGHT, LINE = 150, 1090, 56
INK = (34, 34, 38)
PEN = (28, 40, 96)
SEAL = (196, 36, 38)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the record says: when it was held (agency's zone), and how old the goods were."""

    begins: datetime
    ends: datetime
    produced: date


def record(inspection: Inspection, target: Path) -> None:
    """Write the record as a two-page PDF that holds nothing but page images, as scanners write them."""
    first, second = _first_page(inspection), _second_page(inspection)
    pages = [_scanned(first, seed=1, degrees=0.7), _scanned(second, seed=2, degrees=-0.9)]
    stamp = inspection.ends.timetuple()
    with target.open("wb") as file:  # the date inside comes from the arguments, or two runs would differ
        pages[0].save(
            file,
            "PDF",
            save_all=True,
            append_images=pages[1:],
            resolution=DPI,
            quality=72,
            producer="OfficeScan 620",
            creationDate=stamp,
            modDate=stamp,
        )


SHEETS = ("扣 押 决 定 书", "财 物 清 单", "送 达 回 证")


def seizure(inspection: Inspection, target: Path, *, sheet: int) -> None:
    """Write one sheet, from 1, of the papers of the seizure as an image: the decision, its list of goods, the proof of service."""
    day, produced = f"{inspection.ends:%Y 年 %m 月 %d 日}", f"{inspection.produced:%Y 年 %m 月 %d 日}"
    decided = (
        "当事人衡水某食品有限公司涉嫌经营超过保质期的食品。依照《中华人民共和国行政强制法》第二十四条，决定对附表所列财物予以扣押，"
        f"期限三十日，自 {day}起算。当事人如不服，可依法申请行政复议或者提起行政诉讼。"
    )
    words = (
        decided,
        f"传统酥饼，生产日期 {produced}，四箱，每箱二十四袋，共九十六袋。（以下空白）",
        f"送达文书：扣押决定书、财物清单。送达方式：直接送达。送达时间：{day}。受送达人签名：王某某。",
    )
    page, draw = _sheet()
    draw.text((A4[0] // 2, 150), "衡水市桃城区市场监督管理局", font=font(38, serif=True), fill=INK, anchor="mm")
    draw.text((A4[0] // 2, 220), SHEETS[sheet - 1], font=font(52, serif=True, bold=True), fill=INK, anchor="mm")
    _signatures(page, y=_paragraph(draw, words[sheet - 1], y=330) + 120)
    askew = (0.5, -0.6, 0.3)[sheet - 1]
    _scanned(page, seed=10 + sheet, degrees=askew).save(target, "JPEG", quality=72, dpi=(DPI, DPI))


def _sheet() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    page = Image.new("RGB", A4, (252, 252, 250))
    return page, ImageDraw.Draw(page)


def _first_page(inspection: Inspection) -> Image.Image:
    page, draw = _sheet()
    begins, ends = inspection.begins, inspection.ends
    draw.text((A4[0] // 2, 150), "衡水市桃城区市场监督管理局", font=font(38, serif=True), fill=INK, anchor="mm")
    draw.text((A4[0] // 2, 220), "现 场 检 查 笔 录", font=font(52, serif=True, bold=True), fill=INK, anchor="mm")
    fields = (
        ("检查时间", f"{begins:%Y年%m月%d日%H时%M分} 至 {ends:%d日%H时%M分}"),
        ("检查地点", "衡水市桃城区某路 18 号一层直营门店"),
        ("当 事 人", "衡水某食品有限公司"),
        ("负 责 人", "王某某（门店负责人）"),
        ("检查人员", "张伟  李娜"),
        ("执法证号", "13110200231  13110200244"),
        ("记 录 人", "李娜"),
    )
    for n, (name, value) in enumerate(fields):
        y = 310 + n * LINE
        draw.text((LEFT, y), f"{name}：", font=font(28, serif=True, bold=True), fill=INK)
        draw.text((LEFT + 160, y), value, font=font(28, serif=True), fill=INK)
        draw.line((LEFT + 152, y + 42, RIGHT, y + 42), fill=(120, 120, 122), width=2)
    told = (
        "告知事项：我们是桃城区市场监督管理局执法人员，已向你出示执法证件。现依法进行"
        "现场检查，全程录音录像，请予配合。你有权陈述、申辩；认为检查人员与本案有利害"
        "关系的，有权申请回避。当事人答：听清楚了，不申请回避。"
    )
    seen = (
        f"现场情况：一、当事人出示营业执照、食品经营许可证，均在有效期内。二、货架第二层摆放"
        f"“传统酥饼”四箱，每箱二十四袋，包装标示生产日期 {inspection.produced:%Y 年 %m 月 %d 日}，保质期六个月，"
        f"检查当日已超过保质期。三、货架旁未见“待退货”标识，商品标价签完好。"
        f"四、检查人员对上述食品、标签及摆放位置拍照、录像，两台执法记录仪同步记录。"
    )
    after = _paragraph(draw, told, y=310 + len(fields) * LINE + 24)
    _paragraph(draw, seen, y=after + 20)
    _signatures(page, y=A4[1] - 260)
    draw.text((A4[0] // 2, A4[1] - 80), "第 1 页  共 2 页", font=font(24, serif=True), fill=INK, anchor="mm")
    return page


def _second_page(inspection: Inspection) -> Image.Image:
    page, draw = _sheet()
    rest = (
        "五、当事人当场提供进货票据一份，购进十箱，已售六箱，余四箱与现场清点一致。六、经负责人批准，"
        "对上述四箱食品实施扣押，制作扣押决定书及财物清单，当场交付当事人签收。七、检查过程中当事人配合，未发生争议。"
    )
    words = "当事人意见：以上笔录我已看过，与实际情况相符。（以下空白）"
    after = _paragraph(draw, rest, y=170)
    after = _paragraph(draw, words, y=after + 20)
    written = _signature("记录属实 王某某", seed=9, size=44)
    page.paste(written, (LEFT + 60, after + 10), written)
    draw.line((LEFT, after + 110, RIGHT, after + 110), fill=(120, 120, 122), width=2)
    _signatures(page, y=after + 150)
    day = f"{inspection.ends:%Y 年 %m 月 %d 日}"
    draw.text((RIGHT, after + 420), day, font=font(30, serif=True), fill=INK, anchor="rm")
    seal = _seal()
    page.paste(seal, (RIGHT - 330, after + 270), seal)
    draw.text((A4[0] // 2, A4[1] - 80), "第 2 页  共 2 页", font=font(24, serif=True), fill=INK, anchor="mm")
    return page


def _paragraph(draw: ImageDraw.ImageDraw, words: str, *, y: int) -> int:
    """Set justified-looking ruled lines and return where the next paragraph may begin."""
    face, line = font(28, serif=True), ""
    lines: list[str] = []
    for letter in "　　" + words:
        fits = face.getlength(line + letter) <= RIGHT - LEFT
        if fits or letter in "，。、；：”）":  # closing marks never begin a line
            line += letter
        else:
            lines.append(line)
            line = letter
    for n, text in enumerate([*lines, line]):
        draw.text((LEFT, y + n * LINE), text, font=face, fill=INK)
        draw.line((LEFT, y + n * LINE + 44, RIGHT, y + n * LINE + 44), fill=(176, 176, 178), width=1)
    return y + (len(lines) + 1) * LINE


def _signatures(page: Image.Image, *, y: int) -> None:
    draw = ImageDraw.Draw(page)
    signed = (("当事人：", "王某某"), ("检查人员：", "张伟"), ("记录人：", "李娜"))
    for n, (title, name) in enumerate(signed):
        x = LEFT + n * 330
        draw.text((x, y), title, font=font(28, serif=True), fill=INK)
        written = _signature(name, seed=3 + n, size=50)
        page.paste(written, (x + 120, y - 24), written)


def _signature(name: str, *, seed: int, size: int) -> Image.Image:
    """Return a name as a hurried hand would write it: slanted, uneven, in pen blue."""
    dice = random.Random(seed)  # noqa: S311 - a picture, not a secret
    picture = Image.new("RGBA", (size * (len(name) + 3), size * 2), (0, 0, 0, 0))
    for n, letter in enumerate(name):
        glyph = Image.new("RGBA", (size * 2, size * 2), (0, 0, 0, 0))
        ImageDraw.Draw(glyph).text((size // 2, size // 4), letter, font=font(size, serif=True), fill=PEN)
        slant = 0.28 + dice.random() * 0.2
        slanted = (1, slant, -slant * size, 0.1, 1, -4)
        glyph = glyph.transform(glyph.size, Image.Transform.AFFINE, slanted, Image.Resampling.BICUBIC)
        glyph = glyph.rotate(dice.uniform(-9, 9), Image.Resampling.BICUBIC)
        picture.alpha_composite(glyph, (int(n * size * 0.82), dice.randrange(0, size // 4)))
    return picture


def _seal() -> Image.Image:
    """Return a round office seal, worn as stamps are, 320×320 RGBA."""
    dice = random.Random(7)  # noqa: S311 - a picture, not a secret
    picture = Image.new("RGBA", (640, 640), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((20, 20, 620, 620), outline=SEAL, width=16)
    draw.text((320, 330), "★", font=font(190), fill=SEAL, anchor="mm")
    words = "桃城区市场监管局（演示）"
    for n, letter in enumerate(words):
        angle = math.radians(-130 + n * 260 / (len(words) - 1))
        glyph = Image.new("RGBA", (110, 110), (0, 0, 0, 0))
        ImageDraw.Draw(glyph).text((55, 55), letter, font=font(62, serif=True, bold=True), fill=SEAL, anchor="mm")
        glyph = glyph.rotate(-math.degrees(angle), Image.Resampling.BICUBIC)
        at = (round(320 + 228 * math.sin(angle)) - 55, round(320 - 228 * math.cos(angle)) - 55)
        picture.alpha_composite(glyph, at)
    patches = _noise((640, 640), dice).filter(ImageFilter.GaussianBlur(3))
    worn = patches.point([120] * 119 + [235] * 137)  # below the mean, ink is missing
    picture.putalpha(ImageChops.multiply(picture.getchannel("A"), worn))
    return picture.rotate(-8, Image.Resampling.BICUBIC).resize((320, 320), Image.Resampling.LANCZOS)


def _scanned(page: Image.Image, *, seed: int, degrees: float) -> Image.Image:
    """Return the page as it comes out of the scanner: askew, soft, unevenly lit, with grain and a few specks of dust."""
    dice = random.Random(seed)  # noqa: S311 - a picture, not a secret
    askew = page.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(214, 214, 210)).filter(ImageFilter.GaussianBlur(0.6))
    light = Image.linear_gradient("L").rotate(90 * seed).resize(A4).point(lambda value: 226 + value * 24 // 255)
    lit = ImageChops.multiply(askew, Image.merge("RGB", (light, light, light.point(lambda value: value - 5))))
    grain = _noise(A4, dice).point(lambda value: 232 + value * 23 // 255)
    grainy = ImageChops.multiply(lit, Image.merge("RGB", (grain, grain, grain)))
    draw = ImageDraw.Draw(grainy)
    for _ in range(60):
        x, y = dice.randrange(A4[0]), dice.randrange(A4[1])
        draw.ellipse((x, y, x + dice.randrange(1, 4), y + dice.randrange(1, 4)), fill=(120, 118, 116))
    draw.rectangle((0, 0, 14, A4[1]), fill=(166, 166, 164))  # the shadow of the scanner's lid
    return grainy


def _noise(size: tuple[int, int], dice: random.Random) -> Image.Image:
    """Return seeded grey noise; Pillow's own effect cannot be seeded."""
    return Image.frombytes("L", size, dice.randbytes(size[0] * size[1]))
