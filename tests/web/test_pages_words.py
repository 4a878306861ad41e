"""Words: every text is marked, translated, and set as Chinese is set; every code has words."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest
from babel.messages import extract
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from archive.actions.technical import CONDITIONS
from archive.core import errors
from archive.core.accession import Kind
from archive.core.cases import Stage
from archive.core.custody import EventKind
from archive.core.jobs import KINDS
from archive.core.media import media_plan
from archive.web.pages import words
from archive.web.pages.language import LANGUAGES, catalogue
from archive.web.pages.upload_words import UPLOADING
from workers import damage

ROOT = Path(__file__).parents[2]
WEB = ROOT / "archive" / "web"
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
NAMES = {"SHA-256", "SM3", "EN", "中文", "English", "CSV", "liuhen station enrol", "liuhen dock"}
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|\{(\w+)\}")
HAN = "\u4e00-\u9fff"


def _messages(language: str) -> list[Message]:
    path = WEB / "locale" / LANGUAGES[language] / "LC_MESSAGES" / "messages.po"
    with path.open("rb") as file:
        return [message for message in read_po(file) if message.id]


def _extracted() -> set[str | tuple[str, ...]]:
    found: set[str | tuple[str, ...]] = set()
    keywords = {**extract.DEFAULT_KEYWORDS, "N_": None}
    for method, folder, pattern in (("python", "pages", "*.py"), ("jinja2.ext:babel_extract", "templates", "*.html")):
        for path in (WEB / folder).glob(pattern):
            options = {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"} if folder == "templates" else {}
            with path.open("rb") as file:
                for _line, text, _comments, _context in extract.extract(method, file, keywords=keywords, options=options):
                    found.add(tuple(text) if isinstance(text, (tuple, list)) else text)
    return {text for text in found if text}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_holds_exactly_the_texts_that_pages_say(language: str) -> None:
    held = {tuple(message.id) if isinstance(message.id, (tuple, list)) else message.id for message in _messages(language)}
    assert held == _extracted()


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_untranslated_or_fuzzy(language: str) -> None:
    for message in _messages(language):
        texts = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
        assert all(texts), message.id
        assert not message.fuzzy, message.id


def test_a_translation_names_the_same_facts_as_its_original() -> None:
    for message in _messages("zh-CN"):
        originals = message.id if isinstance(message.id, (tuple, list)) else (message.id,)
        texts = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
        wanted = {name for original in originals for name in PLACEHOLDER.findall(original)}
        for text in texts:
            assert set(PLACEHOLDER.findall(text)) == wanted, message.id


def test_chinese_is_set_with_full_width_marks_and_thin_spaces() -> None:
    for message in _messages("zh-CN"):
        texts = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
        for text in texts:
            assert not re.search(rf"[{HAN}][,;:!?()]|[,;:!?(][{HAN}]|[{HAN}]\.(?!\w)", text), text
            bare = PLACEHOLDER.sub("0", re.sub(r"</?[^>]+>", "", text))
            assert not re.search(rf"[{HAN}][A-Za-z0-9]|[A-Za-z0-9][{HAN}]", _facts_in_chinese(text, bare)), text
            assert not re.search(rf"[{HAN}] [A-Za-z0-9]|[A-Za-z0-9] [{HAN}]", bare), text


def _facts_in_chinese(text: str, bare: str) -> str:
    """Some facts are words themselves («{from}», a length of time): they take no space."""
    return PLACEHOLDER.sub(lambda m: "词" if (m[1] or m[2]) in {"from", "to", "length"} else "0", text) if "{" in text else bare


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_nothing_that_is_not_marked(path: Path) -> None:
    environment = jinja2.Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    inside, data = 0, []
    for _line, kind, value in environment.lex(path.read_text("utf-8")):
        if kind == "name" and value in ("trans", "endtrans"):
            inside += 1 if value == "trans" else -1
        elif kind == "data" and not inside:
            data.append(value)
    text = "\x00".join(data)
    spoken = re.findall(r'\b(?:title|aria-label|placeholder|alt)="([^"\x00]*)', text)
    shown = re.sub(r"<!--.*?-->|<[^<>]*>", "\n", text.replace("\x00", ""), flags=re.DOTALL)
    left = {piece.strip() for piece in [*spoken, *shown.split("\n")]} - NAMES
    assert not {piece for piece in left if re.search(r"[A-Za-z]{2}|[\u4e00-\u9fff]", re.sub(r"&\w+;", "", piece))}


def test_the_components_say_only_what_pages_give_them() -> None:
    used: set[str] = set()
    for path in (WEB / "ui").glob("*.ts"):
        source = path.read_text("utf-8")
        used |= set(re.findall(r'\bword\("(\w+)"', source))
        for either in re.findall(r'\bword\([^"()]+ \? "(\w+)" : "(\w+)"', source):
            used |= set(either)
        for begins in re.findall(r"\bword\(`(\w+_)\$\{", source):
            used |= {key for key in words.PLAYER if key.startswith(begins)}
        assert not re.search(rf"[\"'`][^\"'`]*[{HAN}]", re.sub(r"`\$\{month\}[^`]*`", "", source)), path.name
    assert used - set(UPLOADING) == set(words.PLAYER)


def test_every_code_that_a_page_can_meet_has_words() -> None:
    assert set(words.KIND) == set(Kind)
    assert set(words.STAGE) == set(Stage)
    assert set(words.EVENT) == set(EventKind)
    assert set(words.JOB_KIND) == set(KINDS)
    assert set(words.PLAN) == media_plan.REASONS
    assert set(words.CONDITION) == {"unchecked", *CONDITIONS}
    assert set(words.STATE) == set(words.STATE_SHORT)


def test_every_finding_and_every_failure_of_a_job_has_words() -> None:
    sources = "".join(
        path.read_text("utf-8")
        for path in [
            *(ROOT / "workers").glob("*.py"),
            *(ROOT / "archive/adapters").glob("*.py"),
            ROOT / "archive/actions/technical.py",
        ]
    )
    found = set(re.findall(r'"code": "(\w+)"', sources)) | set(re.findall(r'flaw="(\w+)"', sources))
    found |= set(re.findall(r'flaw="\w+" if \w+ else "(\w+)"', sources))
    found |= set(re.findall(r'\bcode="(\w+)"', sources))
    assert found - {"missing"} == set(words.FINDING)
    assert set(words.ADVICE) | words.REMARKS <= set(words.FINDING)
    assert words.REMARKS == damage.REMARKS
    faults = {each.code for each in _subclasses(errors.Fault) if hasattr(each, "code")}
    assert faults - {"lease_lost"} <= set(words.JOB_ERROR)


def test_every_refusal_in_words_is_one_that_exists() -> None:
    assert set(words.REFUSAL) <= {each.code for each in _subclasses(errors.LiuhenError) if hasattr(each, "code")}


def test_both_catalogues_are_compiled_and_speak() -> None:
    assert catalogue("zh-CN").gettext("Verified") == "已校验"
    assert catalogue("en").gettext("Verified") == "Verified"
    assert catalogue("en").ngettext("%(num)s item", "%(num)s items", 2) == "%(num)s items"


def _subclasses(root: type) -> set[type]:
    return {root} | {each for child in root.__subclasses__() for each in _subclasses(child)}
