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
    "release": ("{shown}  {number}  {path}  {reason}", "{shown:<10} {number}  {path}  {reason}"),
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


def say(key: str, tongue: str, **facts: object) -> str:
    """Return the words for this in a language; a key that has none is said as it is."""
    known = _WORDS.get(key)
    return key if known is None else known[LANGUAGES.index(tongue)].format(**facts).rstrip()
