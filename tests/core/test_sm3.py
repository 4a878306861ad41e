"""Claims about SM3: the standard's own examples, with and without Python's help."""

import hashlib

import pytest

from archive.sm3 import Sm3

ABC = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
SIXTEEN_ABCD = "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
"""GB/T 32905-2016, appendix A: "abc", and "abcd" sixteen times."""


def without_it(name, *arguments, **options):
    raise ValueError(f"unsupported hash type {name}")


@pytest.fixture(params=["hashlib", "cryptography"])
def either(request, monkeypatch):
    if request.param == "cryptography":
        monkeypatch.setattr(hashlib, "new", without_it)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(
    ("parts", "expected"), [((b"abc",), ABC), ((b"a", b"", memoryview(b"bc")), ABC), ((b"abcd",) * 16, SIXTEEN_ABCD)]
)
def test_it_gives_the_standards_own_examples(parts, expected):
    running = Sm3()
    for part in parts:
        running.update(part)
    assert running.hexdigest() == expected
