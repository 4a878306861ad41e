"""What must be true once the volume is in, asked of the archive through the interface everybody else uses.

Every check is a sentence with a flaw or without one; all of them are made, so that one run tells everything that is wrong.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from archive.core import manifest, note
from archive.core.errors import LiuhenError
from archive.core.instant import SECOND, Instant, iso, parse
from archive.core.manifest import SIGNING_CONTEXT
from archive.core.receipt import Receipt
from archive.demo.volume import A, Deposit, Replay
from archive.dock import credential

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from archive.demo.run import Shown
    from archive.demo.server import Server

CAP: Final = 2**20
"""The most bytes one playback answer may carry."""

KINDS: Final = {"LX": "recording", "ZP": "photo", "LY": "audio", "WS": "document"}
PLAYABLE: Final = frozenset({"audio-fix", "remux", "transcode"})


@dataclass(frozen=True, slots=True)
class Check:
    """One claim, and what speaks against it."""

    what: str
    flaw: str | None


@dataclass(frozen=True, slots=True)
class Taken:
    """A file of the volume beside what the archive says of it."""

    deposit: Deposit
    item: dict[str, Any]

    @property
    def name(self) -> str:
        """The file's name on the volume."""
        return self.deposit.path.name

    @property
    def digest(self) -> str:
        """The SHA-256 it had on the volume."""
        return self.deposit.digest

    @property
    def number(self) -> str:
        """Its accession number."""
        return str(self.item["number"])


def verify(server: Server, shown: Shown) -> list[Check]:
    """Return all checks of a finished demonstration but `fsck`, whose answer needs the server to have stopped."""
    with server.sign_in() as client:
        taken = [_taken(client, deposit, shown.numbers[deposit.path]) for deposit in shown.volume.deposits]
        claims: list[tuple[str, Callable[[], Iterator[str]]]] = [
            ("全部文件已校验，摘要与签名一致 every file is verified with the digest that was signed", lambda: _signed(taken)),
            ("回执签名有效 receipts verify", lambda: _receipts(client, taken, shown)),
            (
                "凭回执释放，重点标记与损坏留存 freed against receipts, what was marked or is damaged stays",
                lambda: _freed(client, taken),
            ),
            ("国密 SM3 与 SHA-256 并存 SM3 stands beside SHA-256", lambda: _sm3(taken)),
            ("种类由内容判定 kinds are right", lambda: _kinds(taken)),
            ("下载与卷上字节相同 downloads equal what lies on the volume", lambda: _downloads(client, taken)),
            ("原件按封顶区间播放 originals play by capped ranges", lambda: _originals(client, taken)),
            ("衍生件可播放且有来历 renditions play and have a provenance", lambda: _renditions(client, taken)),
            ("录像有海报、故事板、波形 recordings have poster, storyboard, waveform", lambda: _companions(client, taken)),
            ("断电文件标为损坏 the truncated file is damaged, with a finding", lambda: _damaged(taken)),
            ("断电录像按同机文件重建 it is rebuilt after a healthy file of its recorder", lambda: _rebuilt(client, taken)),
            ("分段录像连成一段 what the recorder split is one run, one bar", lambda: _runs(client, taken, shown)),
            ("未知文件已保存 what is unknown is kept", lambda: _unknown(taken)),
            ("笔录有两页图像 the record has two page images", lambda: _pages(client, taken)),
            (
                "三页扫描件按序合成一份文书 three scanned sheets are one document, in order",
                lambda: _document(client, taken, shown),
            ),
            ("照片有缩略图 photos have a view and a thumbnail", lambda: _photos(client, taken)),
            ("时刻与时钟核对正确 times are the recorder's, corrected where known", lambda: _clocks(taken)),
            ("时间线各就其位 the timeline has its bars where they belong", lambda: _timeline(client, shown)),
            ("没有失败的任务 no job failed", lambda: _jobs(client)),
            ("页面可打开 pages open", lambda: _pages_open(client, taken, shown)),
        ]
        return [_made(what, find) for what, find in claims]


def fsck(server: Server) -> Check:
    """Return what `liuhen fsck --deep` says."""
    try:
        said = server.run("fsck", "--deep", "--json")
    except subprocess.CalledProcessError as why:
        output = (why.stdout + why.stderr).decode("utf-8", errors="replace")
        return Check("fsck 无误 fsck is clean", output[-1000:])
    return Check("fsck 无误 fsck is clean", _together(line for line in said.splitlines() if '"flaw": true' in line))


def _made(what: str, find: Callable[[], Iterable[str]]) -> Check:
    """Make one check; whatever stops it counts against it."""
    try:
        return Check(what, _together(find()))
    except (LiuhenError, httpx.HTTPError, ValueError, KeyError, TypeError, OSError, RuntimeError) as why:
        return Check(what, f"{type(why).__name__}: {why}")


def _together(flaws: Iterable[str]) -> str | None:
    return "; ".join(flaws) or None


def _taken(client: httpx.Client, deposit: Deposit, number: str) -> Taken:
    item = client.get(f"/api/v1/items/{number}").raise_for_status().json()
    return Taken(deposit, item)


def _signed(taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if each.item["verified_at"] is None or each.item["verdict"] != "intact":
            yield f"{each.name}: verified_at={each.item['verified_at']} verdict={each.item['verdict']}"
        signed = manifest.decode(each.item["manifest"].encode())
        if not signed.sha256.hex == each.item["sha256"] == each.digest:
            yield f"{each.name}: signed {signed.sha256.hex}, stored {each.item['sha256']}, on the volume {each.digest}"
        if signed.name.rsplit("/", 1)[-1] != each.name:
            yield f"{each.name}: signed as {signed.name}"


def _receipts(client: httpx.Client, taken: list[Taken], shown: Shown) -> Iterator[str]:
    known = credential.load(shown.credential)
    for each in taken:
        answer = client.get(f"/api/v1/items/{each.number}/receipt").raise_for_status()
        receipt = Receipt.parse(note.read(answer.text, keys=known.server_keys, verify=credential.verify))
        said = (str(receipt.number), receipt.sha256.hex, receipt.sm3, receipt.station)
        if said != (each.number, each.digest, each.deposit.sm3, known.station):
            yield f"{each.name}: the receipt is for {said}"
        # Ed25519 is deterministic (RFC 8032): the station's key makes this very signature over this manifest, and over no other.
        if known.sign(SIGNING_CONTEXT + each.item["manifest"].encode()).hex() != each.item["signature"]:
            yield f"{each.name}: the station did not sign this manifest"


def _freed(client: httpx.Client, taken: list[Taken]) -> Iterator[str]:
    """Hold what is left on the carriers, and what custody says of it, against the recorder's marks and the time of the receipt."""
    for each in taken:
        stays = "key_mark" if each.deposit.marked else "damaged" if each.deposit.damaged else None
        if each.deposit.path.exists() != (stays is not None):
            yield f"{each.name}: {'still there' if each.deposit.path.exists() else 'removed'}"
        events = client.get(f"/api/v1/items/{each.number}/events").raise_for_status().json()
        told = [event for event in events if event["kind"] in {"release", "release barred"}]
        if [event["kind"] for event in told] != ["release" if stays is None else "release barred"]:
            yield f"{each.name}: {[event['kind'] for event in told]}"
            continue
        read_back = next(event for event in events if event["kind"] == "fixity check")
        if told[0]["seq"] < read_back["seq"] or told[0]["facts"]["verified_at"] != each.item["verified_at"]:
            yield f"{each.name}: freed before it was verified"
        if stays is not None and told[0]["facts"]["bars"][0]["reason"] != stays:
            yield f"{each.name}: kept for {told[0]['facts']['bars']}"


def _sm3(taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if not each.item["sm3"] == manifest.decode(each.item["manifest"].encode()).sm3 == each.deposit.sm3:
            yield f"{each.name}: SM3 {each.item['sm3']} instead of {each.deposit.sm3}"


def _kinds(taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        letters = each.number.split("-")[1]
        if letters != each.deposit.letters or each.item["kind"] != KINDS[each.deposit.letters]:
            yield f"{each.name}: {each.number}, {each.item['kind']}"


def _downloads(client: httpx.Client, taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        digest = hashlib.sha256()
        with client.stream("GET", f"/api/v1/items/{each.number}/download") as answer:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                digest.update(chunk)
        if digest.hexdigest() != each.digest:
            yield f"{each.name}: {digest.hexdigest()}"


def _originals(client: httpx.Client, taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if each.deposit.replay is not Replay.ORIGINAL:
            continue
        if each.item["condition"] != "sound":
            yield f"{each.name}: {each.item['condition']}"
        if each.deposit.letters == "LX" and any(copy["recipe"] in PLAYABLE for copy in each.item["renditions"]):
            yield f"{each.name}: a copy was made though the original plays"
        got, flaw = _played(client, f"/api/v1/items/{each.number}/original")
        if flaw:
            yield f"{each.name}: {flaw}"
        elif hashlib.sha256(got).hexdigest() != each.digest:
            yield f"{each.name}: the ranges do not add up to the file"


def _played(client: httpx.Client, address: str) -> tuple[bytes, str | None]:
    """Fetch what a player would, range by range, each asked for to the end of the file."""
    got = bytearray()
    while True:
        answer = client.get(address, headers={"Range": f"bytes={len(got)}-"})
        if answer.status_code != 206:  # noqa: PLR2004 - RFC 9110, 15.3.7
            return bytes(got), f"answered {answer.status_code}"
        if not 0 < len(answer.content) <= CAP:
            return bytes(got), f"a range of {len(answer.content)} bytes"
        got += answer.content
        if len(got) >= int(answer.headers["Content-Range"].rsplit("/", 1)[1]):
            return bytes(got), None


def _renditions(client: httpx.Client, taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if each.deposit.replay is not Replay.RENDITION:
            continue
        copies = [copy for copy in each.item["renditions"] if copy["recipe"] in PLAYABLE]
        if len(copies) != 1:
            yield f"{each.name}: {[copy['recipe'] for copy in copies]}"
            continue
        got, flaw = _played(client, f"/api/v1/items/{each.number}/renditions/{copies[0]['recipe']}")
        if flaw or hashlib.sha256(got).hexdigest() != copies[0]["sha256"]:
            yield f"{each.name}: {flaw or 'the bytes are not those the rendition was published with'}"
        if got[4:8] != b"ftyp" or b"avc1" not in got or b"mp4a" not in got:
            yield f"{each.name}: the rendition is no MP4 with H.264 and AAC"
        provenance = json.dumps(copies[0]["provenance"])
        if "ffmpeg" not in provenance or "libx264" not in provenance:
            yield f"{each.name}: provenance {provenance[:200]}"


def _companions(client: httpx.Client, taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if each.deposit.letters != "LX" or each.deposit.damaged:
            continue
        for recipe in ("poster", "storyboard", "storyboard-vtt", "waveform", "stream-hash"):
            answer = client.get(f"/api/v1/items/{each.number}/renditions/{recipe}")
            if not answer.is_success or not answer.content:
                yield f"{each.name}: {recipe} answered {answer.status_code}"
        seconds = (each.item["duration_us"] or 0) / SECOND
        if each.deposit.seconds is None or abs(seconds - each.deposit.seconds) > 1:
            yield f"{each.name}: {seconds} s instead of {each.deposit.seconds} s"


def _damaged(taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if each.deposit.damaged and (each.item["condition"] != "damaged" or not each.item["findings"]):
            yield f"{each.name}: {each.item['condition']}, {each.item['findings']}"
        if not each.deposit.damaged and each.item["condition"] == "damaged":
            yield f"{each.name} is called damaged: {each.item['findings']}"


def _rebuilt(client: httpx.Client, taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if each.deposit.replay is not Replay.REPAIR:
            continue
        copies = [copy for copy in each.item["renditions"] if copy["recipe"] == "repair"]
        if len(copies) != 1:
            yield f"{each.name}: {sorted(copy['recipe'] for copy in each.item['renditions'])}"
            continue
        provenance = json.dumps(copies[0]["provenance"])
        healthy = [
            other.number for other in taken if other.deposit.recorder == each.deposit.recorder and other.number in provenance
        ]
        if "rebuild" not in provenance or not healthy:
            yield f"{each.name}: provenance {provenance[:200]}"
        got, flaw = _played(client, f"/api/v1/items/{each.number}/renditions/repair")
        if flaw or hashlib.sha256(got).hexdigest() != copies[0]["sha256"]:
            yield f"{each.name}: {flaw or 'the bytes are not those the rendition was published with'}"


def _runs(client: httpx.Client, taken: list[Taken], shown: Shown) -> Iterator[str]:
    """Hold the runs of the timeline against the takes that follow one another without a pause."""
    told = client.get(f"/api/v1/cases/{shown.case_id}/timeline").raise_for_status().json()
    drawn = [[member["item"] for member in bar["members"]] for lane in told["recorders"] for bar in lane["runs"]]
    films = sorted((each for each in taken if each.deposit.seconds and each.deposit.letters == "LX"), key=_began)
    split = [each.number for each in films if each.deposit.recorder == A.recorder]
    if split not in drawn:
        yield f"{drawn} instead of {split}"
    run = client.get(f"/api/v1/items/{split[0]}/run").raise_for_status().json()
    if [member["item"] for member in run["members"]] != split or any(join["gap_us"] is None for join in run["joins"]):
        yield f"{run['members']} {run['joins']}"
    if any(abs(join["gap_us"] or 0) >= 2 * SECOND for join in run["joins"]):
        yield f"joins of {[join['gap_us'] for join in run['joins']]} µs"


def _began(each: Taken) -> Instant:
    assert each.deposit.started is not None
    return each.deposit.started


def _unknown(taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if each.deposit.replay is Replay.NONE and not each.deposit.damaged and each.item["condition"] != "unrecognised":
            yield f"{each.name}: {each.item['condition']}"


def _pages(client: httpx.Client, taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if each.deposit.letters != "WS" or each.deposit.pages is None:
            continue
        recipes = {copy["recipe"] for copy in each.item["renditions"]}
        wanted = {f"{kind}-{n:04d}" for kind in ("page", "thumb") for n in range(1, each.deposit.pages + 1)}
        if not wanted <= recipes or f"page-{each.deposit.pages + 1:04d}" in recipes:
            yield f"{each.name}: {sorted(recipes)}"
        for recipe in sorted(wanted & recipes):
            yield from _picture(client, each, recipe)


def _document(client: httpx.Client, taken: list[Taken], shown: Shown) -> Iterator[str]:
    """Hold the list of pages, read as the archive stored it, against the sheets in the scanner's folder."""
    sheets = sorted((each for each in taken if each.deposit.sheet is not None), key=lambda each: each.deposit.sheet or 0)
    listed = json.loads(client.get(f"/api/v1/items/{shown.document}/download").raise_for_status().content)
    if [(page["number"], page["sha256"]) for page in listed["pages"]] != [(each.number, each.digest) for each in sheets]:
        yield f"{listed['pages']}"
    for each in sheets:
        for recipe in ("view", "thumb"):
            yield from _picture(client, each, recipe)


def _photos(client: httpx.Client, taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if each.deposit.letters == "ZP":
            for recipe in ("view", "thumb"):
                yield from _picture(client, each, recipe)


def _picture(client: httpx.Client, each: Taken, recipe: str) -> Iterator[str]:
    answer = client.get(f"/api/v1/items/{each.number}/renditions/{recipe}")
    if not answer.is_success or not answer.headers["Content-Type"].startswith("image/") or not answer.content:
        yield f"{each.name}: {recipe} answered {answer.status_code} {answer.headers.get('Content-Type')}"


def _clocks(taken: list[Taken]) -> Iterator[str]:
    for each in taken:
        if each.deposit.started is None:
            continue
        wanted = each.deposit.verified if each.deposit.verified is not None else each.deposit.started
        if each.item["started_at"] != iso(wanted):
            yield f"{each.name}: {each.item['started_at']} instead of {iso(wanted)}"
        if (each.item["clock_offset_us"] is not None) != (each.deposit.verified is not None):
            yield f"{each.name}: offset {each.item['clock_offset_us']}"
        if (each.item["recorder"], each.item["officer"]) != (each.deposit.recorder, each.deposit.officer):
            yield f"{each.name}: {each.item['recorder']} {each.item['officer']}"


def _timeline(client: httpx.Client, shown: Shown) -> Iterator[str]:
    """Hold every mark against the volume: bars of recordings, the paper at its own time, nothing else and nothing twice."""
    told = client.get(f"/api/v1/cases/{shown.case_id}/timeline").raise_for_status().json()
    marks = [mark for lane in [*told["recorders"], told["documents"]] for mark in lane["marks"]]
    by_number = {mark["item"]: mark for mark in marks}
    if len(by_number) != len(marks) or told["undated"]:
        yield f"{len(marks)} marks for {len(by_number)} items, {len(told['undated'])} undated"
    for deposit in shown.volume.deposits:
        mark = by_number.get(shown.numbers[deposit.path])
        wanted = deposit.verified if deposit.verified is not None else deposit.started
        if deposit.letters == "WS":
            wanted = shown.volume.paper_at
        if not deposit.bound:
            wanted = None
        if (mark is None) != (wanted is None):
            yield f"{deposit.path.name}: {'missing' if mark is None else 'not expected'}"
        if mark is None or wanted is None:
            continue
        if mark["start"] != iso(wanted):
            yield f"{deposit.path.name}: at {mark['start']} instead of {iso(wanted)}"
        if deposit.letters == "LX" and deposit.seconds and not _lasts(mark, wanted, deposit.seconds):
            yield f"{deposit.path.name}: until {mark['end']}"
        if deposit.letters != "WS" and mark["clock_verified"] != (deposit.verified is not None):
            yield f"{deposit.path.name}: clock_verified={mark['clock_verified']}"


def _lasts(mark: dict[str, Any], start: Instant, seconds: int) -> bool:
    return abs(parse(mark["end"]) - start - seconds * SECOND) <= SECOND


def _jobs(client: httpx.Client) -> Iterator[str]:
    for job in client.get("/api/v1/jobs", params={"state": "dead"}).raise_for_status().json()["jobs"]:
        yield f"{job['kind']} of {job['item']}: {job['error']} {(job['last_words'] or '')[-200:]}"


def _pages_open(client: httpx.Client, taken: list[Taken], shown: Shown) -> Iterator[str]:
    addresses = ["/inbox", "/items", "/cases", f"/cases/{shown.case_id}", "/jobs", "/quarantine"]
    addresses += [f"/items/{each.number}" for each in taken]
    for address in addresses:
        answer = client.get(address)
        if answer.status_code != 200 or "</html>" not in answer.text:  # noqa: PLR2004 - HTTP's OK
            yield f"{address} answered {answer.status_code}"
