"""What an item's custody list says of a release, in both languages."""

import re

import pytest

from archive.actions.custody import EventView
from archive.core.custody import EventKind
from archive.core.instant import Instant
from archive.web.pages import facts
from archive.web.pages.language import catalogue

PLACE = {"carrier": "TF 1", "name": "DCIM/A.MP4"}
BARS = {"bars": [{"reason": "key_mark", "case": None, "until": None}, {"reason": "matter", "case": "〔2026〕114", "until": None}]}
SAID = [
    (EventKind.RELEASED, {}, "凭已校验回执从载体 TF 1 移除：DCIM/A.MP4"),
    (
        EventKind.RELEASE_BARRED,
        BARS,
        "留存于载体 TF 1：记录仪已作重点标记，原始载体规则要求留存、原始载体规则要求留存案件 〔2026〕114 的文件（按案由）",
    ),
    (EventKind.RELEASE_BARRED, {"reason": "changed"}, "留存于载体 TF 1：该文件已不同于入档时的内容"),
    (EventKind.RELEASE_BARRED, {"reason": "gone"}, "载体 TF 1 上已无此文件：未经准许已不在载体上"),
    (EventKind.RELEASE_BARRED, {"reason": "of a later release"}, "留存于载体 TF 1：of a later release"),
]


@pytest.mark.parametrize(("kind", "more", "chinese"), SAID)
def test_a_release_is_told_in_words(kind, more, chinese):
    seen = EventView(1, kind, Instant(1), "station:dock-1", {**PLACE, **more}, "0" * 64)
    said = facts.event(seen, catalogue("zh-CN").gettext).said
    assert said.replace("\u2009", " ") == chinese
    english = facts.event(seen, catalogue("en").gettext).said
    assert re.search(r"[\u4e00-\u9fff]", english) is None
    assert "TF 1" in english
