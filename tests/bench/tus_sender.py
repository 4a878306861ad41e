"""Sends one upload as fast as a socket takes it, the same way to any tus server; run as a program, so that it has its own interpreter.

    python tests/bench/tus_sender.py HOST PORT PATH BYTES [HEADER: VALUE]…

One POST, one PATCH of everything, from one random buffer in memory: no disk is read. Prints a JSON object: when it
began and had the last answer (the machine's monotonic clock, in seconds), the upload's location, the SHA-256 the server says (or null).
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import time

BUFFER = 8 * 2**20


def main() -> None:
    host, port, path, size, *lines = sys.argv[1:]
    left = int(size)
    buffer = memoryview(os.urandom(BUFFER))
    headers = [f"Host: {host}:{port}", "Tus-Resumable: 1.0.0", *lines]
    with socket.create_connection((host, int(port))) as connection:
        began = time.monotonic()
        created = ask(connection, [f"POST {path} HTTP/1.1", f"Upload-Length: {size}", "Content-Length: 0", *headers])
        assert created.status == 201, created.read()
        created.read()
        where = created.headers["Location"]
        head = [f"PATCH {where} HTTP/1.1", "Upload-Offset: 0", "Content-Type: application/offset+octet-stream"]
        connection.sendall("\r\n".join([*head, f"Content-Length: {size}", *headers, "\r\n"]).encode())
        while left:
            part = buffer[: min(left, BUFFER)]
            connection.sendall(part)
            left -= len(part)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        ended = time.monotonic()
        assert answer.status == 204, answer.read()
        digest = answer.headers.get("Liuhen-Sha256")
        json.dump({"began": began, "ended": ended, "where": where, "sha256": digest}, sys.stdout)


def ask(connection: socket.socket, lines: list[str]) -> http.client.HTTPResponse:
    connection.sendall("\r\n".join([*lines, "\r\n"]).encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer


if __name__ == "__main__":
    main()
