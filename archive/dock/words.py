"""What the dock says while it works, in the station's language: Chinese first, English where the system's language is English.

Every line is an event with facts; people get a sentence, a station's display gets JSON. Codes of refusals and faults are the same in
both languages (docs/refusals.md explains them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    "settling": ("等待        {count} 个文件仍在写入", "waiting    {count} files are still being written"),
    "not_encrypted": (
        "此地址未加密：途中任何人都能读到所传内容",
        "this address is not encrypted: anyone on the way can read what is sent",
    ),
    "stopped": ("已停止；下次从此处继续", "stopped; the next run goes on from here"),
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
