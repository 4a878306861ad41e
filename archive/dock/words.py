"""What the dock says while it works, in the station's language: Chinese first, English where the system's language is English.

Every line is an event with facts; people get a sentence, a station's display gets JSON. Refusals and faults that stations meet are
sentences too, with their code in brackets, which is the same in both languages (docs/refusals.md explains it); rare ones are said by
their code and facts alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from archive.core.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archive.core.errors import LiuhenError

LANGUAGES: Final = ("zh", "en")

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    # states of a file, as the journal and the report have them
    "signed": ("已签名", "signed"),
    "stored": ("已入档", "stored"),
    "verified": ("已核验", "verified"),
    "refused": ("被拒收", "refused"),
    "flawed": ("有误", "flawed"),
    "waiting": ("待续", "waiting"),
    "changing": ("仍在变动", "changing"),
    "unreadable": ("无法读取", "unreadable"),
    "releasing": ("正在释放", "releasing"),
    "released": ("已释放", "released"),
    "kept": ("保留", "kept"),
    # works that have a bar
    "hashing": ("计算摘要", "hashing"),
    "sending": ("上传", "sending"),
    "all": ("合计", "all"),
    # lines
    "passed": ("略过        {path}  {reason} {detail}", "passed     {path}  {reason} {detail}"),
    "archive_away": ("等待档案库   {trouble}", "waiting    for the archive: {trouble}"),
    "changed": ("内容有变    {path}：重新计算摘要", "changed    {path}: hashing it anew"),
    "file": ("{shown}  {path}  {size}  {said}", "{shown:<10} {path}  {size}  {said}"),
    "again": ("（相同内容已入档）", "(these bytes were docked before)"),
    "arrived": (
        "等待 {count} 个文件入档：档案库正在核对直传内容",
        "waiting    for {count} files to be taken in: the archive checks what went straight to its store",
    ),
    "detour": (
        "改经档案库上传  {path}：无法直传存储：{trouble}",
        "detour     {path} goes through the archive, not straight to its store: {trouble}",
    ),
    "receipts": (
        "等待 {count} 份回执：档案库正在回读所存内容",
        "waiting    for {count} receipts: the archive reads back what it stored",
    ),
    "receipt": ("已核验  {number}  {path}", "verified   {number}  {path}"),
    "receipt_flawed": ("回执有误  {number}  {trouble}", "flawed     {number}  {trouble}"),
    "release": ("{shown}  {number}  {path}  {said}", "{shown:<10} {number}  {path}  {said}"),
    "gone": (
        "载体已拔出  {carrier}：再次接入后续传其余文件",
        "gone       {carrier}: it was pulled; what it still holds is docked when it is back",
    ),
    "clock": (
        "时钟        {carrier}：采集站比记录仪快 {offset_s} 秒（误差 ±{uncertainty_s} 秒）",
        "clock      {carrier}: station minus recorder {offset_s} s, give or take {uncertainty_s} s",
    ),
    "clock_unknown": ("时钟未测得  {carrier}：{trouble}", "clock      {carrier}: not measured: {trouble}"),
    "settling": (
        "等待        {count} 个文件：静止 {settle_s:g} 秒后采集",
        "waiting    {count} files: taken once they have held still for {settle_s:g} s",
    ),
    "not_encrypted": (
        "此地址未加密：途中任何人都能读到所传内容",
        "this address is not encrypted: anyone on the way can read what is sent",
    ),
    "stopped": ("已停止；下次从此处继续", "stopped; the next run goes on from here"),
    "no_source": ("来源不存在：{path}", "there is no such source: {path}"),
    "refusal": ("拒绝：{said}", "refused: {said}"),
    "fault": ("故障：{said}", "fault: {said}"),
    "fault_again": ("故障：{said}（可重试）", "fault: {said} (try again)"),
    # the watch
    "watching": ("值守        {folder}", "watching   {folder}"),
    "appeared": ("接入        {place}", "appeared   {place}"),
    "docking": ("开始采集    {place}  {count} 个文件", "docking    {place}  {count} files"),
    "docked": ("采集完毕    {place}  {summary}", "docked     {place}  {summary}"),
    "left": ("移除        {place}", "left       {place}"),
    "trouble": ("故障        {place}  {trouble}", "trouble    {place}  {trouble}"),
    "loose": (
        "未采集      {folder} 中直接放置的文件：请放入子文件夹",
        "not taken  files that lie in {folder} itself: put them into a folder of their own",
    ),
    "ended": ("值守结束", "the watch has ended"),
    # the summary
    "files": ("{count} 个文件，上传 {size}", "{count} files, {size} sent"),
    "sent": ("上传 {count}", "sent {count}"),
    "before": ("此前已入档 {count}", "docked before {count}"),
    "with_receipt": ("已有回执 {count}", "with receipt {count}"),
    "removed": ("从记录仪删除 {count}", "removed from the recorder {count}"),
    "kept_on": ("留在记录仪 {count}", "kept on it {count}"),
    "to_go_on": ("待续 {count}", "to go on with {count}"),
    "in_trouble": ("有问题 {count}", "in trouble {count}"),
    "passed_over": ("略过 {count}", "passed over {count}"),
    "no_receipt": ("尚待回执 {count}", "waiting for a receipt {count}"),
}


def language(environment: Mapping[str, str]) -> str:
    """Return the station's language, `zh` or `en`, by the variables of setlocale(3).

    A system that names no language is taken for a Chinese one: agencies' stations are.
    """
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = environment.get(name, "")
        if value and value.partition(".")[0] not in {"C", "POSIX"}:
            return "en" if value.lower().startswith("en") else "zh"
    return "zh"


_WHY: dict[str, tuple[str, str]] = {
    "release_barred: key_mark": ("已作重点标记，按原始载体规则留存", "marked by the recorder; the carrier rule keeps it"),
    "release_barred: damaged": ("已损坏，按原始载体规则留存", "it is damaged; the carrier rule keeps it"),
    "too_early": ("档案库尚未检验，下次再释放", "the archive has not examined it yet; the next run asks again"),
    "release_barred: matter": ("按原始载体规则留存，案件", "the carrier rule keeps the matter of case"),
    "release_barred": ("按原始载体规则留存", "the carrier rule keeps it"),
    "not_verified": ("档案库最近一次回读未确认完好", "the archive did not find its bytes intact the last time"),
    "not_found": ("档案库中没有本站的此条目", "the archive has no such item of this station"),
    "no_leave": ("档案库未准许", "the archive gave no leave"),
    "changed": ("文件已不同于入档时", "it is not what was docked any more"),
    "read_only": ("载体只读", "the medium can only be read"),
    "not_removable": ("系统不允许移除", "the system does not let it be removed"),
    "unreadable": ("无法再次读取", "it cannot be read again"),
    "gone": ("未经准许已不在载体上", "it was taken away without leave"),
    "carrier gone": ("载体已拔出", "its carrier was pulled"),
    "receipt": ("回执有误", "its receipt is flawed"),
}
"""Why a file stays on its carrier, by how the reason begins; the longest beginning counts."""


def why(reason: str, tongue: str) -> str:
    """Return why a file stays in words, with what the reason says further; a reason that has none is said as it is."""
    for known in sorted(_WHY, key=len, reverse=True):
        if reason == known or reason.startswith((f"{known}: ", f"{known} ")):
            return f"{_WHY[known][LANGUAGES.index(tongue)]} {reason[len(known) :].lstrip(': ')}".rstrip()
    return reason


def say(key: str, tongue: str, **facts: object) -> str:
    """Return the words for this in a language; a key that has none is said as it is."""
    known = _WORDS.get(key)
    return key if known is None else known[LANGUAGES.index(tongue)].format(**facts).rstrip()


_NAMES: Final = (
    "采集站名称只能用字母、数字和 . _ -，最多 64 个字符，首尾须为字母或数字：{of}",
    "a station's name has letters (A-Z, a-z), digits and . _ - only, at most 64, a letter or digit first and last: {of}",
)
_TROUBLE: Final[Mapping[tuple[str, ...], tuple[str, str]]] = {
    ("malformed", "credential", "No such file or directory"): ("凭据文件不存在：{of}", "there is no credential file {of}"),
    ("malformed", "credential", "readable_by_others"): (
        "凭据文件其他用户可读，须设为 0600：{of}",
        "others than its owner may read the credential; make it 0600: {of}",
    ),
    ("malformed", "credential", "type_or_version"): ("不是本版本的凭据文件：{of}", "this is no credential of this version: {of}"),
    ("malformed", "credential", "content"): ("凭据文件内容有误：{of}", "the credential's content is spoilt: {of}"),
    ("malformed", "credential", "keys"): ("凭据文件中的密钥有误：{of}", "the credential's keys are spoilt: {of}"),
    ("malformed", "credential"): ("凭据文件无法读取：{of}：{reason}", "the credential cannot be read: {of}: {reason}"),
    ("malformed", "server"): (
        "档案库地址须以 http:// 或 https:// 开头，如 https://archive.example：{of}",
        "the archive's address begins with http:// or https://, such as https://archive.example: {of}",
    ),
    ("malformed", "station"): _NAMES,
    ("malformed", "journal", "not_there"): ("采集日志不存在：{of}", "there is no journal {of}"),
    ("not_found", "station"): ("没有名为 {of} 的采集站", "there is no station {of}"),
    ("station_exists",): ("名为 {of} 的采集站已登记", "a station {of} is enrolled already"),
    ("station_revoked",): ("采集站 {of} 已注销", "station {of} is revoked already"),
    ("journal_busy",): ("另一次采集正在使用此日志：{of}", "another run of the dock holds this journal: {of}"),
    ("server_refused", "station_revoked"): (
        "本采集站已被注销：请在服务器上重新登记",
        "the archive has revoked this station: enrol it anew on the server",
    ),
    ("server_refused", "wrong_credentials"): (
        "档案库不认识本采集站或其密钥：请核对凭据文件，或在服务器上登记",
        "the archive does not know this station or its key: check the credential, or enrol it on the server",
    ),
    ("server_refused", "no_archive_there"): ("此地址没有档案库：{of}", "there is no archive at this address: {of}"),
    ("server_refused", "digest_mismatch"): ("所传内容与签名的摘要不符", "what arrived is not what was signed"),
    ("unavailable", "server"): ("档案库没有应答：{reason}", "the archive does not answer: {reason}"),
    ("unavailable", "store"): ("档案库的存储没有应答：{reason}", "the archive's store does not answer: {reason}"),
    ("unavailable", "source"): ("来源无法读取：{reason}", "the source cannot be read: {reason}"),
    ("detour",): ("未能直传存储，改经档案库上传：{reason}", "went through the archive, not straight to its store: {reason}"),
    ("disk_full",): ("档案库磁盘已满", "the archive's disk is full"),
    # why a file waits, and what was passed over
    ("not begun",): ("尚未开始", "not begun"),
    ("arrived",): ("已直传存储，待档案库入档", "in the store; the archive has yet to take it in"),
    ("stopped",): ("已停止", "stopped"),
    ("carrier gone",): ("载体已拔出", "its carrier was pulled"),
    ("the file keeps changing",): ("文件不断变动", "the file keeps changing"),
    ("symlink",): ("符号链接，不跟随", "a symbolic link, not followed"),
    ("junk",): ("操作系统附带文件，非记录内容", "left by an operating system"),
    ("special",): ("不是普通文件", "no regular file"),
    ("other_volume",): ("属于其他卷", "on another volume"),
    ("being_written",): ("仍在写入，下次采集", "still being written; the next run takes it"),
    ("unreadable",): ("无法读取：{reason}", "it cannot be read: {reason}"),
}
"""Refusals, faults and reasons that stations meet, by code, `what` or the server's code, and reason; the longest key counts."""

_SYSTEM: Final[Mapping[str, str]] = {
    "No such file or directory": "文件不存在",
    "Permission denied": "没有读取权限",
    "Is a directory": "是文件夹",
    "Input/output error": "读写错误，介质可能损坏",
    "No space left on device": "磁盘已满",
}
"""What the system says of a file (strerror(3)), in Chinese."""
_FACT: Final = re.compile(r"(\w+)=(.*?)(?=, \w+=|$)", re.DOTALL)
_SLUG: Final = re.compile(r"[a-z][a-z_]*")
_NAMED_BY: Final = ("path", "value", "name", "station", "journal", "server")


def trouble(text: str, tongue: str) -> str:
    """Return a refusal, a fault or a reason (`code: name=value, …`) as a sentence with its code in brackets; others as they are."""
    code, _, rest = text.partition(": ")
    facts = dict(_FACT.findall(rest))
    what, reason = facts.get("server_code") or facts.get("what", ""), facts.get("reason", "" if facts else rest)
    if code == "server_refused" and not what:
        what = reason
    known = next((key for key in ((code, what, reason), (code, what), (code,)) if key in _TROUBLE), None)
    if known is None:
        return _SYSTEM.get(text, text) if tongue == "zh" else text
    of = next((facts[name] for name in _NAMED_BY if name in facts), "")
    shown = _SYSTEM.get(reason, reason) if tongue == "zh" else reason
    said = _TROUBLE[known][LANGUAGES.index(tongue)].format(of=of, reason=shown).rstrip("：: ")
    parts = [part for part in dict.fromkeys((what, reason)) if _SLUG.fullmatch(part) and facts]
    return f"{said} [{': '.join(filter(None, [code, ', '.join(parts)]))}]"


def ending(why: LiuhenError, tongue: str) -> str:
    """Return the line with which a command ends that a rule or a fault kept from its work."""
    said = trouble(str(why), tongue)
    if said == str(why):  # without a sentence there is nothing to put into a language
        tongue = "en"
    if not isinstance(why, Fault):
        return say("refusal", tongue, said=said)
    return say("fault_again" if why.again else "fault", tongue, said=said)
