"""tus against a model of what its text promises: whatever a sender does, in whatever order, over one archive in this process.

Held at every step: no answer is a fault; the offset never falls below what was acknowledged; the bytes there are the model's. Held at the
end: every finished upload has one accession with exactly its bytes, and `fsck` finds nothing.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import json
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, precondition, rule, run_state_machine_as_test
from sqlalchemy import func, select

from archive.actions import fsck, person
from archive.adapters.local_store import LocalStore
from archive.adapters.spool import Spool
from archive.core.digest import Digest, original_key
from archive.core.instant import HOUR, Instant
from archive.core.tus import UPLOADS
from archive.records.items import Item
from archive.resources import Resources, opened
from archive.settings import read
from archive.web import intake
from archive.web.app import create_app
from archive.web.identity import COOKIE
from archive.web.receiving import Holds
from tests.fuzz.asgi import HOST, Answer, ask

MAXIMUM = 64
TUS = {"Tus-Resumable": "1.0.0", "Origin": f"http://{HOST}", "Cookie": f"{COOKIE}=cookie"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}
SOON = settings.get_profile("soak").max_examples != settings().max_examples
"""Whether this is the small run; `make soak` draws thousands."""

CONTENTS = st.binary(max_size=40)
CHECKSUMS = st.sampled_from(["none", "none", "right", "right", "wrong", "unknown"])


@dataclass
class Model:
    """What an upload must be."""

    where: str
    length: int | None
    data: bytes = b""
    state: str = "receiving"
    concat: str | None = None
    declared: str | None = None
    number: str | None = None


class World:
    """One archive, on whose uploads every example works; a restart forgets what a process forgets."""

    def __init__(self, stack: ExitStack) -> None:
        memory = Path("/dev/shm")  # nothing here dies, so nothing has to reach a disk
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)))
        given = read({}, data_dir=self.folder / "data", agency="131102", free_space_floor=0, max_upload_bytes=MAXIMUM)
        self.resources: Resources = stack.enter_context(opened(given))
        self.loop = asyncio.new_event_loop()
        stack.callback(self.loop.close)
        with self.resources.transaction() as session:
            now = self.resources.now()
            person.bootstrap(session, login="admin", name="管理员", password_hash="x", now=now)
            person.sign_in(session, login="admin", right=True, token="cookie", address="", now=now)
        self.app = create_app(self.resources)
        self.restart()

    def restart(self) -> None:
        data = self.folder / "data"
        fresh = {"spool": Spool(data / "spool", floor=0), "store": LocalStore(data / "store")}
        self.resources = self.app.state.resources = dataclasses.replace(self.resources, **fresh)
        self.app.state.upload_holds = Holds()
        intake.sweep(self.resources, self.resources.now())

    def ask(self, method: str, path: str, headers: dict[str, str], chunks: tuple[bytes, ...] = (), **how: bool) -> Answer:
        answer = self.loop.run_until_complete(ask(self.app, method, path, headers, chunks, **how))
        assert answer.status < 500, (method, path, headers, chunks, answer)
        return answer


@pytest.fixture(scope="module")
def world():
    with ExitStack() as stack:
        made = World(stack)
        yield made
        with made.resources.reading() as session:
            found = fsck.check(session, made.resources.store, deep=True, now=made.resources.now(), progress=lambda *_: None)
            assert [each for each in found if each.flaw] == []


def checksum(kind: str, data: bytes) -> dict[str, str]:
    if kind == "none":
        return {}
    algorithm = "md5" if kind == "unknown" else "sha1" if len(data) % 2 else "sha256"
    digest = hashlib.new(algorithm, data + (b"?" if kind == "wrong" else b"")).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"}


def cut(data: bytes, at: int) -> tuple[bytes, ...]:
    return tuple(piece for piece in (data[:at], data[at:]) if piece)


class Uploading(RuleBasedStateMachine):
    """Senders of all kinds at one archive."""

    world: ClassVar[World]
    uploads = Bundle("uploads")
    parts = Bundle("parts")

    def __init__(self) -> None:
        super().__init__()
        self.known: list[Model] = []

    # What a sender does

    @rule(
        target=uploads, content=CONTENTS, deferred=st.booleans(), come=st.integers(0, 45), check=CHECKSUMS,
        declare=st.sampled_from([None, None, "right", "wrong"]), sized=st.booleans(),
    )  # fmt: skip
    def create(self, content, deferred, come, check, declare, sized):
        """Create an upload of these bytes, or with one too many, of which the first `come` come at once."""
        body = (content + b"!")[:come]
        declared = None if declare is None else hashlib.sha256(content if declare == "right" else content + b"?").hexdigest()
        headers = {"Upload-Defer-Length": "1"} if deferred else {"Upload-Length": str(len(content))}
        if declared is not None:
            headers["Upload-Metadata"] = f"sha256 {base64.b64encode(declared.encode()).decode()}"
        return self._created(headers, body, check, sized=sized, length=None if deferred else len(content), declared=declared)

    @rule(target=parts, content=CONTENTS, deferred=st.booleans(), come=st.integers(0, 40), check=CHECKSUMS)
    def create_part(self, content, deferred, come, check):
        """Create a partial upload, of which the first `come` bytes come at once."""
        headers = {"Upload-Defer-Length": "1"} if deferred else {"Upload-Length": str(len(content))}
        headers["Upload-Concat"] = "partial"
        return self._created(
            headers, content[:come], check, sized=True, length=None if deferred else len(content), concat="partial"
        )

    @rule(
        model=st.one_of(uploads, parts), delta=st.sampled_from([0, 0, 0, 0, 1, -1]), body=CONTENTS, at=st.integers(0, 40),
        check=CHECKSUMS, say=st.sampled_from([None, None, None, "right", "end", "other"]), sized=st.booleans(),
        breaks=st.sampled_from([False, False, False, True]), fit=st.booleans(),
    )  # fmt: skip
    def patch(self, model, delta, body, at, check, say, sized, breaks, fit):
        """Add bytes: where they belong or elsewhere, too many or not, whole or broken off, with a length or without."""
        if fit and model.length is not None:
            body = body[: max(0, model.length - len(model.data))]
        offset = len(model.data) + delta
        headers = {**BODY, "Upload-Offset": str(offset), **checksum(check, body)}
        said = None
        if say is not None:
            said = {"right": model.length or len(model.data) + len(body), "end": len(model.data) + len(body)}.get(say, 63)
            headers["Upload-Length"] = str(said)
        answer = self.world.ask("PATCH", model.where, headers, cut(body, at), sized=sized, breaks=breaks)
        self._patched(model, answer, offset=offset, body=body, check=check, said=said, sized=sized, breaks=breaks)

    @rule(target=uploads, chosen=st.lists(parts, min_size=1, max_size=3), declare=st.sampled_from([None, None, "right", "wrong"]))
    def join(self, chosen, declare):
        """Make a final upload of parts: finished or not, named once or twice, still there or gone."""
        whole = b"".join(part.data for part in chosen)
        headers = {**TUS, "Upload-Concat": f"final;{' '.join(part.where for part in chosen)}"}
        declared = None if declare is None else hashlib.sha256(whole if declare == "right" else whole + b"?").hexdigest()
        if declared is not None:
            headers["Upload-Metadata"] = f"sha256 {base64.b64encode(declared.encode()).decode()}"
        answer = self.world.ask("POST", UPLOADS, headers)
        if len({part.where for part in chosen}) < len(chosen):
            assert answer.status in {400, 410}
        elif all(part.state == "joined" for part in chosen) and answer.status in {201, 460}:
            assert any(other.concat == "final" and other.data == whole for other in self.known), "told again, not made again"
        elif any(part.state != "receiving" for part in chosen):
            assert answer.status == 410
        elif any(part.length != len(part.data) for part in chosen):
            assert answer.status == 409
        elif len(whole) > MAXIMUM:
            assert answer.status == 413
        else:
            for part in chosen:
                part.state = "joined"
            if declare == "wrong":
                assert answer.status == 460
                self.known.append(Model("", len(whole), whole, "refused", "final"))
                return multiple()
            assert answer.status == 201, answer
            return self._keep(Model(answer.headers["location"], len(whole), whole, "stored", "final", declared), answer)
        return multiple()

    @rule(model=consumes(uploads))
    def end(self, model):
        """End an upload."""
        answer = self.world.ask("DELETE", model.where, TUS)
        assert answer.status == (204 if model.state == "receiving" else 410)
        if model.state == "receiving":
            model.state = "terminated"

    @rule(model=st.one_of(uploads, parts))
    def look(self, model):
        """Ask where an upload stands, both ways."""
        self._hold(model)

    # What happens to the archive

    @rule()
    def restart(self):
        """End the process and start another."""
        self.world.restart()

    @precondition(lambda self: len(self.known) > 2)
    @rule()
    def much_later(self):
        """Let a week pass, and a sweep come by."""
        intake.sweep(self.world.resources, Instant(self.world.resources.now() + 1000 * HOUR))
        for model in self.known:
            if model.state == "receiving":
                model.state = "expired"

    def teardown(self):
        """Hold every upload of this example to its model."""
        for model in self.known:
            if model.where:
                self._hold(model)
            if model.state == "stored":
                with self.world.resources.reading() as session:
                    upload_id = model.where.rpartition("/")[2]
                    taken = session.scalar(select(func.count()).select_from(Item).where(Item.upload_id == upload_id))
                assert taken == 1, "one accession, not more"
                stored = self.world.resources.store.read(original_key(Digest.of(model.data)), 0, len(model.data))
                assert b"".join(stored) == model.data

    # The model

    def _created(self, headers, body, check, *, sized, length, concat=None, declared=None):
        sent = {**(BODY if body else TUS), **headers, **(checksum(check, body) if body else {})}
        answer = self.world.ask("POST", UPLOADS, sent, cut(body, 10), sized=sized or not body)
        if not body:
            check = "none"
        if check == "unknown":
            assert answer.status == 400
            return multiple()
        if length is not None and len(body) > length:
            assert answer.status == 413, "what is too long makes nothing"
            return multiple()
        if check == "wrong":
            assert answer.status == 460
            return multiple()
        model = Model(answer.headers.get("location", ""), length, body, concat=concat, declared=declared)
        if concat is None and length == len(body):
            if declared not in {None, hashlib.sha256(body).hexdigest()}:
                assert answer.status == 460
                return multiple()
            model.state = "stored"
        assert answer.status == 201, answer
        assert answer.headers["upload-offset"] == str(len(model.data))
        return self._keep(model, answer)

    def _keep(self, model, answer):
        model.number = answer.headers.get("liuhen-number")
        assert (model.number is not None) == (model.state == "stored")
        self.known.append(model)
        return model

    def _patched(self, model, answer, *, offset, body, check, said, sized, breaks):
        before, wanted = (
            model.data,
            self._wanted(model, offset=offset, body=body, check=check, said=said, sized=sized, breaks=breaks),
        )
        assert answer.status == wanted or wanted is None, (answer, wanted, model)
        if model.state != "receiving" or answer.status in {400, 409}:
            return
        if (
            said is not None
            and model.length is None
            and self._said(model, offset=offset, body=body, said=said, sized=sized, breaks=breaks)
        ):
            model.length = said
        if answer.status == 204 and not breaks:
            model.data += body
            self._finish(model, answer)
        elif answer.status == 460 and json.loads(answer.body)["code"] == "digest_mismatch":
            assert model.declared != hashlib.sha256(model.data + body).hexdigest()
            model.data, model.state = model.data + body, "refused"
        elif wanted is None:
            self._resync(model, before, body, check)

    def _wanted(  # noqa: C901, PLR0911 - the protocol's own list of refusals, in its order
        self, model, *, offset, body, check, said, sized, breaks
    ):
        """Return the status that tus promises; None where the line broke or a body went too far, and what came of it has to be asked."""
        length, there = model.length, len(model.data)
        if check == "unknown" or offset < 0:
            return 400
        if model.concat == "final":
            return 403
        if model.state not in {"receiving", "stored"}:
            return 410
        if said is not None and length is not None and said != length:
            return 400
        if said is not None and said < there:
            return 413
        length = said if length is None else length
        if offset != there:
            return 409
        size = len(body) + (1 if breaks else 0)
        if sized and there + size > (MAXIMUM if length is None else length):
            return 413
        if model.state == "stored":
            return 204
        if breaks or there + len(body) > (MAXIMUM if length is None else length):
            return None
        if check == "wrong" and body:
            return 460
        whole = model.concat is None and length == there + len(body)
        if check == "wrong":
            return None
        return 460 if whole and model.declared not in {None, hashlib.sha256(model.data + body).hexdigest()} else 204

    def _said(self, model, *, offset, body, said, sized, breaks):
        """Say whether a length that came with a request was taken, whatever came of its body."""
        size = len(body) + (1 if breaks else 0) if sized else 0
        return said >= len(model.data) and offset == len(model.data) and offset + size <= said <= MAXIMUM

    def _finish(self, model, answer):
        if model.concat is None and model.length == len(model.data):
            model.state, model.number = "stored", answer.headers["liuhen-number"]
        else:
            assert "liuhen-number" not in answer.headers

    def _resync(self, model, before, body, check):
        """Learn what came of a body that broke off: some beginning of it, or nothing if it had a checksum."""
        status = json.loads(self.world.ask("GET", model.where, TUS).body)
        if status["state"] == "refused":
            model.state = "refused"
            return
        assert status["length"] == model.length
        came = status["offset"] - len(before)
        assert 0 <= came <= len(body), "never below what was acknowledged, never more than was sent"
        assert check == "none" or came in {0, len(body)}
        model.data = before + body[:came]
        if status["state"] == "stored":
            model.state, model.number = "stored", status["number"]

    def _hold(self, model):
        if not model.where:
            return
        status = json.loads(self.world.ask("GET", model.where, TUS).body)
        head = self.world.ask("HEAD", model.where, TUS)
        assert (status["state"], status["number"]) == (model.state, model.number)
        assert head.status == (200 if model.state in {"receiving", "stored"} else 410)
        if head.status == 200:
            assert head.headers["upload-offset"] == str(status["offset"]) == str(len(model.data))
            assert head.headers.get("upload-length") == (None if model.length is None else str(model.length))
            assert ("upload-defer-length" in head.headers) == (model.length is None)
            assert head.headers.get("upload-concat", "").partition(";")[0] == (model.concat or "")
        if model.state == "receiving" and model.data:
            spooled = self.world.resources.spool.path(model.where.rpartition("/")[2])
            assert spooled.read_bytes() == model.data


def test_whatever_senders_do_the_archive_keeps_what_tus_promises(world):
    Uploading.world = world
    counts = settings(max_examples=40, stateful_step_count=14) if SOON else settings(max_examples=1500, stateful_step_count=40)
    run_state_machine_as_test(Uploading, settings=settings(counts, deadline=None, suppress_health_check=list(HealthCheck)))


NAMES = st.sampled_from(
    [
        "Tus-Resumable",
        "Upload-Length",
        "Upload-Offset",
        "Upload-Defer-Length",
        "Upload-Concat",
        "Upload-Metadata",
        "Upload-Checksum",
    ]
)
OTHERS = st.sampled_from(
    [
        "Content-Type",
        "Content-Length",
        "X-HTTP-Method-Override",
        "Expect",
        "Transfer-Encoding",
        "Authorization",
        "Cookie",
        "Range",
    ]
)
TEXTS = st.one_of(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40),
    st.sampled_from(
        ["1.0.0", "1", "0", "5", "partial", "final;", f"final;{UPLOADS}/{'0' * 32}", "sha1 AAAA", "final;//[", "PATCH"]
    ),
    st.integers().map(str),
    st.binary(max_size=20).map(lambda raw: f"filename {base64.b64encode(raw).decode()}"),
    st.binary(max_size=20).map(lambda raw: f"document {base64.b64encode(raw).decode()},page MQ==,pages Mg==,title YQ=="),
)


@settings(max_examples=150 if SOON else 10_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["POST", "PATCH", "HEAD", "DELETE", "OPTIONS", "GET", "PUT"]),
    st.sampled_from([UPLOADS, f"{UPLOADS}/{'0' * 32}", f"{UPLOADS}/\xff", f"{UPLOADS}/", f"{UPLOADS}/..%2f"]),
    st.dictionaries(NAMES | OTHERS, TEXTS, max_size=5),
    st.binary(max_size=8),
)
def test_whatever_the_headers_say_the_answer_is_a_refusal_and_no_fault(world, method, path, headers, body):
    signed_in = headers if "Cookie" in headers else {**TUS, **headers}
    world.ask(method, path.encode("latin-1", "replace").decode("latin-1"), signed_in, (body,) if body else ())
