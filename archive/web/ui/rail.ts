// The rail under a picture: files and their joins, pictures, sound, what was played and the playhead, all on one scale of time. It draws
// what it is told and says where a hand pointed; what plays is the deck's.

import { mediaTime, shortTime, wallClock } from "./clock";
import { drawRanges, h, sized } from "./dom";
import type { Stretch } from "./deck";
import type { Files } from "./files";
import type { Line, LineJoin } from "./run";
import { drawTile, drawTiles, tileAt } from "./storyboard";
import { drawPeaks } from "./waveform";
import { word } from "./words";

/** A hand that passes over a file in passing does not mean to watch it: only where it rests is another file fetched. */
const REST_MS = 180;
const JOIN_REACH_PX = 4;

export class Rail {
  readonly element = h("div", { class: "lhp-rail" });
  readonly scrub = h("div", { class: "lhp-scrub", role: "slider", tabindex: 0, "aria-orientation": "horizontal" });
  private readonly segments = h("div", { class: "lhp-files", hidden: true });
  private readonly buffered = h("div", { class: "lhp-buffered" });
  private readonly played = h("div", { class: "lhp-played" });
  private readonly strip = h("canvas", { class: "lhp-strip", hidden: true, role: "img" });
  private readonly notes = h("div", { class: "lhp-notes", hidden: true });
  private readonly wave = h("canvas", { class: "lhp-wave", hidden: true, role: "img" });
  private readonly seen = h("div", { class: "lhp-seen" });
  private readonly head = h("div", { class: "lhp-head" });
  private readonly preview = h("div", { class: "lhp-preview", hidden: true });
  private readonly previewPicture = h("canvas");
  private readonly previewText = h("div", { class: "lhp-preview-text" });
  private readonly line: Line;
  private readonly files: Files;
  private readonly zone: string | undefined;
  private shown = -1;

  constructor(line: Line, files: Files, zone: string | undefined, seek: (position: number) => void, on: { readonly signal: AbortSignal }) {
    this.line = line;
    this.files = files;
    this.zone = zone;
    this.scrub.setAttribute("aria-label", word("position"));
    this.wave.setAttribute("aria-label", word("waveform"));
    this.strip.setAttribute("aria-label", word("storyboard"));
    this.seen.title = word("watched");
    this.preview.append(this.previewPicture, this.previewText);
    this.scrub.append(this.buffered, this.played);
    this.element.append(this.segments, this.scrub, this.strip, this.wave, this.notes, this.seen, this.head, this.preview);
    this.element.addEventListener("pointermove", (event) => this.hover(event), on);
    this.element.addEventListener("pointerleave", () => { this.preview.hidden = true; }, on);
    this.element.addEventListener("pointerdown", (event) => this.grab(event, seek), on);
    new ResizeObserver(() => this.draw()).observe(this.element);
    this.drawFiles();
  }

  /** Draws the playhead, what is loaded and what was played; `index` is the file on show. */
  show(position: number, index: number, played: readonly Stretch[], buffered: readonly Stretch[], spoken: string): void {
    const length = this.line.length;
    const fraction = length > 0 ? Math.min(1, position / length) : 0;
    this.played.style.width = `${fraction * 100}%`;
    this.head.style.left = `${fraction * 100}%`;
    this.scrub.setAttribute("aria-valuemin", "0");
    this.scrub.setAttribute("aria-valuemax", String(Math.round(length)));
    this.scrub.setAttribute("aria-valuenow", String(Math.round(position)));
    this.scrub.setAttribute("aria-valuetext", spoken);
    drawRanges(this.seen, played, length);
    drawRanges(this.buffered, buffered, length);
    if (this.shown === index) return;
    this.shown = index;
    for (const [each, bar] of [...this.segments.querySelectorAll(".lhp-file")].entries()) bar.classList.toggle("is-shown", each === index);
  }

  /** Draws pictures and sound as far as they are here. */
  draw(): void {
    const indices = [...this.line.files.keys()];
    this.strip.hidden = !indices.some((index) => this.files.companions(index)?.sprite);
    this.wave.hidden = !indices.some((index) => this.files.companions(index)?.peaks);
    this.across(this.strip, (context, left, width, height, index) => {
      const { sprite, board } = this.files.companions(index) ?? {};
      if (sprite && board) drawTiles(context, left, width, height, sprite, board, this.line.lasts(index));
    });
    this.across(this.wave, (context, left, width, height, index) => {
      const { peaks, quiet } = this.files.companions(index) ?? {};
      if (peaks) drawPeaks(this.wave, context, left, width, height, peaks, quiet ?? [], this.line.lasts(index));
    });
    this.drawNotes();
  }

  /** Stretches that examination noted: black, unchanging, silent, without sound. */
  private drawNotes(): void {
    const length = this.line.length || 1;
    const marks: HTMLElement[] = [];
    for (const index of this.line.files.keys()) {
      for (const { kind, start, end } of this.files.disturbances(index)) {
        const mark = h("i", { "data-kind": kind });
        mark.style.left = `${(this.line.position(index, start) / length) * 100}%`;
        mark.style.width = `${((end - start) / length) * 100}%`;
        marks.push(mark);
      }
    }
    this.notes.hidden = marks.length === 0;
    this.notes.replaceChildren(...marks);
  }

  private across(canvas: HTMLCanvasElement, paint: (context: CanvasRenderingContext2D, left: number, width: number, height: number, index: number) => void): void {
    const room = canvas.hidden ? undefined : sized(canvas);
    const length = this.line.length;
    if (!room || length <= 0) return;
    room.context.clearRect(0, 0, room.width, room.height);
    for (const index of this.line.files.keys()) {
      const left = (this.line.from(index) / length) * room.width;
      paint(room.context, left, (this.line.lasts(index) / length) * room.width, room.height, index);
    }
  }

  /** One bar a file; what lies between two is a mark of its own, so that no gap is too small to be seen. */
  private drawFiles(): void {
    if (!this.line.joined) return;
    this.segments.hidden = false;
    const length = this.line.length || 1;
    const place = (element: HTMLElement, at: number, seconds: number): void => {
      element.style.left = `${(at / length) * 100}%`;
      element.style.width = `${(seconds / length) * 100}%`;
    };
    for (const index of this.line.files.keys()) {
      const bar = h("i", { class: "lhp-file" });
      place(bar, this.line.from(index), this.line.lasts(index));
      this.segments.append(bar);
    }
    for (const join of this.line.joins) {
      const mark = h("i", { class: join.seconds < 0 ? "lhp-join lhp-overlap" : "lhp-join" });
      place(mark, Math.min(join.at, join.at + join.seconds), Math.abs(join.seconds));
      this.segments.append(mark);
    }
  }

  private positionAt(event: PointerEvent): number {
    const box = this.element.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.line.length;
  }

  private joinNear(position: number): LineJoin | undefined {
    const reach = (JOIN_REACH_PX * this.line.length) / (this.element.clientWidth || 1);
    return this.line.joins.find(({ at, seconds }) => Math.min(at, at + seconds) - reach <= position && position <= Math.max(at, at + seconds) + reach);
  }

  private hover(event: PointerEvent): void {
    const position = this.positionAt(event);
    const { index, second } = this.line.place(position);
    void this.files.loadAround(index);
    const { board, sprite, quiet } = this.files.companions(index) ?? {};
    const join = this.joinNear(position);
    const tile = sprite && board && !this.line.inGap(position) ? tileAt(board, second) : undefined;
    this.previewPicture.hidden = !tile;
    if (tile && sprite) drawTile(this.previewPicture, sprite, tile);
    const noted = this.line.inGap(position) ? [] : this.files.disturbances(index).filter((one) => one.start <= second && second < one.end);
    const silence = noted.length > 0 ? undefined : quiet?.find((one) => one.start <= second && second < one.end);
    const start = this.line.files[index]?.start;
    this.previewText.textContent = [
      this.line.joined ? word("file_of", { number: index + 1, count: this.line.files.length }) : undefined,
      mediaTime(this.line.inGap(position) ? position : second),
      start != null && this.zone ? wallClock(start + Math.round(second * 1e6), this.zone) : undefined,
      join ? joinSaid(join) : undefined,
      ...noted.map((one) => `${word(`noted_${one.kind}`)} ${shortTime(one.end - one.start)}`),
      silence ? word("silence", { length: shortTime(silence.end - silence.start) }) : undefined,
    ].filter(Boolean).join("  ·  ");
    this.preview.hidden = false;
    const half = this.preview.offsetWidth / 2;
    const box = this.element.getBoundingClientRect();
    this.preview.style.left = `${Math.min(box.width - half, Math.max(half, event.clientX - box.left))}px`;
  }

  private grab(event: PointerEvent, seek: (position: number) => void): void {
    if (event.button !== 0) return;
    event.preventDefault();
    this.scrub.focus({ preventScroll: true });
    this.element.setPointerCapture(event.pointerId);
    let rest = 0;
    let at = this.positionAt(event);
    seek(at);
    const move = (moved: PointerEvent): void => {
      at = this.positionAt(moved);
      window.clearTimeout(rest);
      if (this.line.place(at).index === this.shown) seek(at);
      else rest = window.setTimeout(() => seek(at), REST_MS);
    };
    const leave = (): void => {
      this.element.removeEventListener("pointermove", move);
      window.clearTimeout(rest);
      if (this.line.place(at).index !== this.shown) seek(at);
    };
    this.element.addEventListener("pointermove", move);
    this.element.addEventListener("pointerup", leave, { once: true });
  }
}

/** What lies between two files, in words. */
export function joinSaid(join: { readonly seconds: number; readonly by: string | null }): string {
  const length = Math.abs(join.seconds).toFixed(3);
  const said = word(join.seconds < 0 ? "overlap" : "gap", { length });
  return join.by === "time" ? `${said}  ·  ${word("by_time")}` : said;
}
