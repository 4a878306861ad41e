"""infra/nginx.conf for other hosts and another port than it is shipped with: what an operator does by hand, for tests and the demo."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SHIPPED: Final = Path(__file__).with_name("nginx.conf")
_GROUP: Final = re.compile(r"    upstream (?P<name>[a-z-]+) \{\n(?P<body>.*?)    \}\n", re.DOTALL)
_SERVER: Final = re.compile(r"^( +server )127\.0\.0\.1:\d+(.*;\n)", re.MULTILINE)
_OF_ONE: Final = "liuhen-host-"


def configuration(hosts: Mapping[str, str], *, listen: str, more: str = "") -> str:
    """Return the shipped configuration with these web hosts.

    Args:
        hosts: Address (`host:port`) of each web host by its name (LIUHEN_WEB_NAME).
        listen: Where nginx listens (`host:port`, or what else the directive takes).
        more: Further lines of the server block.
    """

    def group(found: re.Match[str]) -> str:
        servers = _SERVER.findall(found["body"])
        before, after = servers[0]
        rest = _SERVER.sub("", found["body"])
        lines = "".join(f"{before}{address}{after}" for address in hosts.values())
        head, mark, tail = rest.partition("        keepalive 64;\n")
        return f"    upstream {found['name']} {{\n{head}{lines}{mark}{tail}    }}\n"

    text = SHIPPED.read_text("utf-8")
    first = next(found for found in _GROUP.finditer(text) if found["name"].startswith(_OF_ONE))
    one = "".join(
        _SERVER.sub(rf"\g<1>{address}\g<2>", first[0]).replace(first["name"], f"{_OF_ONE}{name}")
        for name, address in hosts.items()
    )
    text = _GROUP.sub(lambda found: "" if found["name"].startswith(_OF_ONE) else group(found), text)
    text = text.replace("\n    # Who sends:", f"{one}\n    # Who sends:", 1)
    return re.sub(r"( +)listen 127\.0\.0\.1:\d+;\n", rf"\g<1>listen {listen};\n{more}", text, count=1)
