"""Claims about the way straight to the store, against stores that answer as they should not."""

import contextlib
import datetime as dt
import hashlib
import ipaddress
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from archive.core.errors import Unavailable
from archive.dock import direct
from archive.dock.client import OutOfStep
from archive.dock.direct import Address, Denied, NotStraight, Way

GOOD = (200, {"ETag": '"x"'}, b"")
SPENT = (403, {}, b"<Error><Code>AccessDenied</Code></Error>")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@contextmanager
def store(answer, *, certificate=None):
    """Serve one answer to every PUT, and give the address and what was heard."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((dict(self.headers), body))
            status, headers, content = answer(len(heard)) if callable(answer) else answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

        def handle(self):
            with contextlib.suppress(OSError):  # the other end went away, as it may
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_address[1]}/part", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def put(way, url, data=b"bytes of a part"):
    def body():
        yield data[:5]
        yield data[5:]

    way.put(Address(url, {"x-amz-content-sha256": hashlib.sha256(data).hexdigest()}), body(), len(data))


def test_a_part_goes_with_the_headers_it_was_signed_with_and_no_token():
    with store(GOOD) as (url, heard), Way(secure=False, ca=None) as way:
        put(way, url)
    ((headers, body),) = heard
    assert (body, headers["content-length"]) == (b"bytes of a part", "15")
    assert "x-amz-content-sha256" in headers
    assert not {"authorization", "cookie", "transfer-encoding"} & {name.lower() for name in headers}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ((200, {}, b"<html>please sign in</html>"), Unavailable),
        ((204, {"ETag": '"x"'}, b""), Unavailable),
        ((302, {"Location": "http://elsewhere.test/"}, b""), Unavailable),
        ((400, {}, b"<Error><Code>BadDigest</Code></Error>"), Unavailable),
        ((500, {}, b"not even XML"), Unavailable),
        ((503, {}, b"<Error><Code>SlowDown</Code></Error>"), Unavailable),
        ((404, {}, b"<Error><Code>NoSuchUpload</Code></Error>"), OutOfStep),
        (SPENT, Denied),
        ((403, {}, b'<!DOCTYPE a [<!ENTITY b "c">]><Error><Code>&b;</Code></Error>'), Denied),
    ],
)
def test_an_answer_that_does_not_say_that_the_part_is_there_is_none(answer, fault):
    with store(answer) as (url, _), Way(secure=False, ca=None) as way, pytest.raises(fault):
        put(way, url)


def test_an_answer_without_end_is_not_listened_to():
    endless = (500, {"Content-Length": str(2**40)}, b"x" * (256 * 1024))
    with store(endless) as (url, _), Way(secure=False, ca=None) as way, pytest.raises(Unavailable):
        put(way, url)


def test_a_store_that_was_never_reached_is_given_up_soon_and_tried_again_later():
    clock = Clock()
    with Way(secure=False, ca=None, clock=clock) as way:
        with pytest.raises(Unavailable):
            put(way, "http://127.0.0.1:9/part")
        clock.now = direct.NEVER_REACHED_S
        assert way.is_open
        with pytest.raises(NotStraight):
            put(way, "http://127.0.0.1:9/part")
        assert not way.is_open
        with pytest.raises(NotStraight):
            way.require_open()
        clock.now += direct.CLOSED_S
        assert way.is_open


def test_a_store_that_was_reached_is_waited_for_while_it_starts_anew():
    clock, away = Clock(), "http://127.0.0.1:9/part"
    with store(GOOD) as (url, _), Way(secure=False, ca=None, clock=clock) as way:
        put(way, url)
        for clock.now in (0.0, direct.NEVER_REACHED_S, direct.LOST_S - 1):
            with pytest.raises(Unavailable):
                put(way, away)
        put(way, url)
        clock.now += direct.LOST_S
        with pytest.raises(Unavailable):
            put(way, away)
        clock.now += direct.LOST_S
        with pytest.raises(NotStraight):
            put(way, away)


def test_a_store_that_takes_no_address_is_given_up_and_one_that_takes_the_next_is_not():
    with store(lambda number: GOOD if number == 2 else SPENT) as (url, _), Way(secure=False, ca=None) as way:
        with pytest.raises(Denied):
            put(way, url)
        put(way, url)
        for _ in range(3 * direct.AT_ONCE):
            with pytest.raises(Denied):
                put(way, url)
        with pytest.raises(NotStraight):
            put(way, url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/part", "ftp://127.0.0.1/part", "file:///etc/passwd"])
def test_what_is_encrypted_to_the_archive_is_not_sent_to_the_store_in_the_clear(url):
    with Way(secure=True, ca=None) as way, pytest.raises(NotStraight):
        put(way, url)


def test_a_store_is_trusted_as_the_archive_is(tmp_path):
    certificate, other = (_certificate(tmp_path / name) for name in ("one.pem", "other.pem"))
    with store(GOOD, certificate=certificate) as (url, heard):
        with Way(secure=True, ca=certificate) as way:
            put(way, url)
        for ca in (other, None):
            with Way(secure=True, ca=ca) as way, pytest.raises(NotStraight, match="CERTIFICATE_VERIFY_FAILED"):
                put(way, url)
    assert len(heard) == 1


def _certificate(path):
    """Write a certificate for 127.0.0.1 that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.stem)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path
