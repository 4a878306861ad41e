"""Uploads over two web hosts behind a real nginx: who holds what, who answers for whom, and what becomes of a sender whose host is gone."""

import hashlib
import os
import shutil
import sqlite3
from contextlib import ExitStack, closing

import httpx
import pytest

from archive.core import tus as rules
from archive.core.digest import Digest
from archive.core.errors import BodyTooLarge
from infra.proxy import SHIPPED, configuration
from infra.services import free_port
from infra.services.nginx import Nginx, running
from tests.station import Station
from tests.web.hosts import two_hosts, until
from tests.web.tus import BODY, PATH, Tus, enrolled, id_of, refused, stored

SIZE = 300_000
MIB = 2**20


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    with two_hosts(tmp_path_factory.mktemp("hosts")) as two:
        yield two


@pytest.fixture
def tus(two):
    with two.client() as client:
        yield Tus(client)


def rows(two, query, *values):
    with closing(sqlite3.connect(two.a.data_dir / "liuhen.db")) as connection:
        return connection.execute(query, values).fetchall()


def spooled(server):
    return {path.name for path in (server.data_dir / "spool").iterdir() if rules.is_upload_id(path.name)}


@pytest.fixture
def straight_to():
    """A sender that talks to one host past the proxy."""
    with ExitStack() as stack:

        def made(server, tus):
            headers = {**tus.client.headers, "origin": server.base_url}
            return Tus(stack.enter_context(httpx.Client(base_url=server.base_url, headers=headers, timeout=60, trust_env=False)))

        yield made


# The proxy


def test_nginx_takes_the_shipped_configuration(tmp_path):
    Nginx(tmp_path / "shipped", SHIPPED.read_text("utf-8"), port=8080).check()
    three = {name: f"127.0.0.1:{9000 + number}" for number, name in enumerate(("a", "b", "c"))}
    made = configuration(three, listen="127.0.0.1:8080")
    assert made.count("127.0.0.1:9002") == 3, "any host, the sender's host, the host itself"
    Nginx(tmp_path / "three", made, port=8080).check()


def test_a_body_passes_the_proxy_as_it_comes(tus, two):
    where = tus.begin(6 * MIB)
    with tus.breaking("PATCH", where, Upload_Offset="0", Content_Length=str(6 * MIB)) as wire:
        wire.send(bytes(5 * MIB))
        held = two.host(where).data_dir / "spool" / id_of(where)
        until(lambda: held.stat().st_size >= 4 * MIB)


def test_a_body_that_is_no_upload_is_short(two):
    url = f"{two.proxy.base_url}/api/v1/stations/nonces"
    answer = httpx.post(url, content=bytes(MIB + 1), trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (413, BodyTooLarge.code)
    there = httpx.post(f"{two.a.base_url}/api/v1/stations/nonces", content=bytes(MIB + 1), trust_env=False)
    assert answer.json() == {**there.json(), "facts": {}}, "the proxy says what the archive would"
    assert httpx.post(url, content=bytes(MIB), trust_env=False).status_code == 400


def test_where_no_host_answers_the_proxy_says_so_to_programs(tmp_path):
    nobody, port = {name: f"127.0.0.1:{free_port()}" for name in ("a", "b")}, free_port()
    with running(tmp_path / "nginx", configuration(nobody, listen=f"127.0.0.1:{port}"), port=port) as proxy:
        for path in ("/api/v1/items", PATH, f"{PATH}/a-{'0' * 32}", f"{PATH}/c-{'0' * 32}"):
            answer = httpx.patch(proxy.base_url + path, content=b"x", trust_env=False)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), path
            assert answer.headers["Retry-After"] == "5"


def test_a_hosts_own_state_is_not_for_everybody(two):
    for path in ("/metrics", "/healthz", "/readyz"):
        assert httpx.get(two.proxy.base_url + path, trust_env=False).status_code == 404
        assert httpx.get(two.a.base_url + "/healthz", trust_env=False).status_code == 200


def test_no_security_header_is_said_twice_and_who_asks_is_who_it_is(two):
    answer = httpx.post(
        f"{two.proxy.base_url}/sign-in",
        data={"login": "nobody", "password": "wrong"},
        headers={"Origin": two.proxy.base_url, "X-Forwarded-For": "203.0.113.9"},
        trust_env=False,
    )
    for name in ("content-security-policy", "x-content-type-options", "referrer-policy"):
        assert len(answer.headers.get_list(name)) == 1
    assert "203.0.113.9" not in str(rows(two, "SELECT * FROM failed_sign_ins")), "what a client says of itself is not believed"


# Each host holds its own


def test_an_uploads_name_leads_to_the_host_that_holds_it(tus, two, straight_to):
    data = os.urandom(SIZE)
    where = tus.begin(SIZE, sha256=Digest.of(data).hex)
    holder = two.host(where)
    assert tus.patch(where, 0, data[:1000]).status_code == 204
    assert id_of(where) in spooled(holder)
    assert id_of(where) not in spooled(two.other(holder))
    answer = tus.patch(where, 1000, data[1000:])
    assert answer.headers["Liuhen-Sha256"] == Digest.of(data).hex
    for server in (two.a, two.b):
        there = straight_to(server, tus)
        assert there.status(where)["number"] == answer.headers["Liuhen-Number"], "what is taken in is told by any host"
        assert there.offset(where) == SIZE
    assert stored(two.a, data)


def test_what_one_sender_begins_goes_to_one_host(two):
    for _ in range(4):
        with two.client() as client:
            one = Tus(client)
            assert len({rules.host_of(id_of(one.begin(10))) for _ in range(5)}) == 1


def test_the_other_host_says_later_while_the_holder_lives(tus, two, straight_to):
    where = tus.begin(SIZE)
    there = straight_to(two.other(two.host(where)), tus)
    answer = there.patch(where, 0, b"x")
    refused(answer, 503, "unavailable")
    assert answer.headers["Retry-After"]
    assert there.head(where).status_code == 503
    assert there.client.get(where).status_code == 503
    assert there.delete(where).status_code == 503
    assert tus.offset(where) == 0


def test_parts_are_joined_on_their_host_whoever_is_asked(tus, two):
    data = os.urandom(SIZE)
    parts = [tus.part(data[:1000]), tus.part(data[1000:])]
    with two.client() as another:  # whose own creations may go elsewhere: the parts decide
        another.headers["Cookie"] = tus.client.headers["Cookie"]
        answer = Tus(another).final(*parts)
    assert answer.headers["Liuhen-Sha256"] == Digest.of(data).hex
    assert two.host(answer.headers["Location"]) is two.host(parts[0])


def test_parts_on_two_hosts_are_refused(tus, two, straight_to):
    one, other = (straight_to(server, tus).part(b"part") for server in (two.a, two.b))
    refused(tus.final(one, other), 409, "parts_apart")
    assert tus.final(one).status_code == 201, "and may be used on their own"


def test_the_same_signed_creation_on_two_hosts_at_once_is_one_upload(two, tmp_path, straight_to):
    path = tmp_path / "twice.bin"
    path.write_bytes(os.urandom(SIZE))
    with Station(two.proxy.base_url, enrolled(two.a, "dock-twice")) as station:
        station.authorise()
        signed = station.metadata(path, Digest.of(path.read_bytes()), name="twice.bin")
        first = straight_to(two.a, Tus(station.client)).create(SIZE, Upload_Metadata=signed)
        second = straight_to(two.b, Tus(station.client)).create(SIZE, Upload_Metadata=signed)
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.headers["Location"] == second.headers["Location"]
        assert "Upload-Offset" not in second.headers, "what the other holds is for the other to say"
        answer = Tus(station.client).patch(second.headers["Location"], 0, path.read_bytes())
        assert answer.headers["Liuhen-Number"]
        third = straight_to(two.b, Tus(station.client)).create(SIZE, Upload_Metadata=signed)
        assert third.headers["Liuhen-Number"] == answer.headers["Liuhen-Number"]


# A host that restarts, and one that is gone; in this order, for the last one stays gone


def test_a_sender_goes_on_where_it_stood_when_its_host_comes_back(tus, two):
    data = os.urandom(SIZE)
    where = tus.begin(SIZE)
    tus.patch(where, 0, data[:1000])
    holder = two.host(where)
    holder.kill()
    answer = tus.client.patch(where, headers={**BODY, "Upload-Offset": "1000"}, content=data[1000:])
    refused(answer, 503, "unavailable")
    holder.start()
    assert tus.offset(where) == 1000
    assert tus.patch(where, 1000, data[1000:]).headers["Liuhen-Sha256"] == Digest.of(data).hex


def test_what_lay_on_a_host_that_is_gone_is_sent_again_and_is_one_item(tus, two, tmp_path, straight_to):
    data = os.urandom(SIZE)
    path = tmp_path / "gone.bin"
    path.write_bytes(data)
    with Station(two.proxy.base_url, enrolled(two.a, "dock-gone")) as station:
        station.authorise()
        signed = station.metadata(path, Digest.of(data), name="gone.bin")
        theirs, mine = Tus(station.client), straight_to(two.b, tus)
        first = straight_to(two.b, theirs).create(SIZE, Upload_Metadata=signed).headers["Location"]
        other = station.metadata(path, Digest.of(data), name="posted.bin")
        unasked = straight_to(two.b, theirs).create(SIZE, Upload_Metadata=other)
        assert theirs.patch(first, 0, data[:1000]).status_code == 204
        part, own = mine.part(b"part"), mine.begin(SIZE, sha256=Digest.of(data).hex)
        two.b.kill()
        # Whoever is refused before the body was read may be hung up on; a sender then asks anew, and this one does so at once.
        refused(theirs.patch(first, 1000, b"x", Connection="close"), 503, "unavailable")
        until(lambda: theirs.head(first).status_code == 410)
        for answer in (theirs.patch(first, 1000, b"x", Connection="close"), theirs.client.get(first), theirs.delete(first)):
            refused(answer, 410, "host_gone")
        refused(tus.final(part), 410, "host_gone")
        assert tus.head(own).status_code == 410
        assert rows(two, "SELECT state, refusal FROM uploads WHERE id = ?", id_of(first)) == [("expired", "host_gone")]
        again = theirs.create(SIZE, Upload_Metadata=signed)
        assert rules.host_of(id_of(again.headers["Location"])) == "a"
        answer = theirs.patch(again.headers["Location"], 0, data)
        number = answer.headers["Liuhen-Number"]
        assert theirs.create(SIZE, Upload_Metadata=signed).headers["Liuhen-Number"] == number
        # A station that never asked, and only posts the same manifest again, is not led back to the host that is gone either.
        posted = theirs.create(SIZE, content=data, Upload_Metadata=other)
        assert posted.headers["Liuhen-Number"] != number
        lost = id_of(unasked.headers["Location"])
        assert rows(two, "SELECT state, refusal FROM uploads WHERE id = ?", lost) == [("expired", "host_gone")]
    assert rows(two, "SELECT count(*) FROM items WHERE name = 'gone.bin'") == [(1,)]
    assert {id_of(first), id_of(own)} <= spooled(two.b)
    two.b.start()
    until(lambda: not {id_of(first), id_of(own)} & spooled(two.b))
    refused(theirs_gone := tus.client.get(own), 410, "host_gone")
    assert theirs_gone.json()["again"] is False


def test_a_second_process_over_the_same_spool_or_name_does_not_start(two, tmp_path):
    for directory in (two.a.data_dir, tmp_path / "other"):
        if directory != two.a.data_dir:
            directory.mkdir()
            for name in ("liuhen.db", "store"):
                (directory / name).symlink_to(two.a.data_dir / name)
        server = type(two.a)(directory, settings=two.a.settings)
        server.log = tmp_path / f"{directory.name}.log"
        with pytest.raises(Exception, match="another web process runs"):
            server.start()
    assert httpx.get(f"{two.a.base_url}/readyz", trust_env=False).status_code == 200


def test_a_host_whose_machine_was_replaced_takes_its_name_and_ends_what_was_lost(tus, two, straight_to):
    where = straight_to(two.b, tus).begin(SIZE)
    two.b.kill()
    shutil.rmtree(two.b.data_dir / "spool")
    two.b.start()
    refused(tus.client.get(where), 410, "host_gone")
    assert "another spool's" in two.b.last_words()
    data = os.urandom(1000)
    assert straight_to(two.b, tus).create(1000, content=data).headers["Liuhen-Sha256"] == hashlib.sha256(data).hexdigest()
