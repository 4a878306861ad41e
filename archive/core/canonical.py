"""Canonical JSON (RFC 8785) for what Liuhen signs: objects, lists, strings, integers, booleans and null.

Floats are refused: no signed fact needs one, and their text form is where implementations differ. Integers stay within ±(2^53-1),
which every JSON reader holds exactly (RFC 8785 section 3.2.2.3; RFC 7493).
"""

from __future__ import annotations

import json

from archive.core.errors import Malformed

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]

_SAFE = 2**53 - 1


def encode(value: Json) -> bytes:
    """Return the one canonical UTF-8 form of the value.

    Raises:
        Malformed: a float, an integer beyond ±(2^53-1), a lone surrogate, or a key that is no string.
    """
    try:
        return _text(value).encode("utf-8")
    except UnicodeEncodeError as why:
        raise Malformed(what="canonical_json", reason="lone_surrogate") from why


def decode(data: bytes) -> Json:
    """Return the value of canonical bytes.

    Raises:
        Malformed: the bytes are no JSON, or not in the one canonical form, so that two texts never mean the same.
    """
    try:
        value: Json = json.loads(data.decode("utf-8"))
        canonical = encode(value)
    except (ValueError, RecursionError) as why:  # no UTF-8, no JSON, an integer of thousands of digits, or too deep
        raise Malformed(what="canonical_json", reason="no_json") from why
    if canonical != data:
        raise Malformed(what="canonical_json", reason="not_canonical")
    return value


def _text(value: Json) -> str:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise Malformed(what="canonical_json", reason="key")
        # RFC 8785 section 3.2.3: keys are sorted by their UTF-16 code units
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_string(key)}:{_text(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, str):
        return _string(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and -_SAFE <= value <= _SAFE:
        return str(value)
    raise Malformed(what="canonical_json", reason="number", value=str(value)[:40])


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
