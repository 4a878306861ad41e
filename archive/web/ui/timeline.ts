// <lh-timeline>: a case as lanes over one folded axis. It reads downwards as an argument: the stage, what each recorder has,
// documents and photos between. The server gives the facts in data-timeline (see archive/web/pages/timeline.py) and the same
// facts as a table below, which is what those who do not see the drawing use; the drawing is for eyes and hands.
// Dashed = the recorder's clock was never checked, so that the bar's place is what the recorder said.

import htmx from "htmx.org";
import { linked } from "./address";
import { bareUntil, drawParts, filesSaid, type Join, labelsOf, type Part, partOf } from "./bars";
import { dayName, shortTime, wallClock, wallTime, zoneOffset } from "./clock";
import { h, iconButton, keysDialog, s } from "./dom";
import { instantAt, place, type Placed, position, type Stretch, ticks } from "./fold";
import type { Player } from "./player";
import { word } from "./words";

interface Entry {
  readonly id: string;
  readonly label: string;
  /** The whole name of the file, or of the stage. */
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly unverified: boolean;
  readonly player: string | null;
  readonly href: string | null;
  readonly row: number;
  readonly parts?: readonly Part[];
  readonly joins?: readonly Join[];
  readonly files?: number;
}

interface Lane {
  readonly kind: "stage" | "recorder" | "document";
  readonly label: string;
  readonly rows: number;
  readonly entries: readonly Entry[];
}

interface Timeline {
  readonly zone: string;
  readonly stretches: readonly Stretch[];
  readonly lanes: readonly Lane[];
}

const HEAD = 52;
const ROW: Readonly<Record<Lane["kind"], number>> = { stage: 38, recorder: 38, document: 24 };
const PAD = 8;
const BAR: Readonly<Record<Lane["kind"], number>> = { stage: 24, recorder: 28, document: 18 };
const LABEL_ROOM = 12;
const MIN_BAR = 4;
const LEAST_HIT = 20;

const measure = document.createElement("canvas").getContext("2d");

function textWidth(text: string): number {
  if (!measure) return text.length * 14;
  measure.font = `13px ${getComputedStyle(document.body).fontFamily}`;
  return measure.measureText(text).width;
}

export class TimelineView extends HTMLElement {
  private data: Timeline = { zone: "UTC", stretches: [], lanes: [] };
  private readonly unfolded = new Set<number>();
  private zoom = 1;
  private axis: Placed[] = [];
  /** Where the keyboard stands; one entry at a time can be reached by Tab, the others by arrows. */
  private current: string | undefined;
  private playing: { readonly id: string; readonly second: number } | undefined;
  private keys: HTMLDialogElement | undefined;
  private readonly names = h("div", { class: "lht-names", "aria-hidden": "true" });
  private readonly scroller = h("div", { class: "lht-scroll", tabindex: -1 });
  private built = false;

  connectedCallback(): void {
    if (this.built) return;
    this.built = true;
    this.data = JSON.parse(this.dataset["timeline"] ?? "{}") as Timeline;
    if (this.data.stretches.length === 0) return;
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", word("timeline"));
    const tools = h("div", { class: "lht-tools" },
      iconButton("plus", `${word("zoom_in")} ( + )`, () => this.scale(1.5), "lh-plain"),
      iconButton("minus", `${word("zoom_out")} ( - )`, () => this.scale(1 / 1.5), "lh-plain"),
      iconButton("fit", `${word("fit")} ( 0 )`, () => this.fit(), "lh-plain"),
    );
    const help = h("button", { type: "button", class: "lh-plain lh-help", "aria-label": word("keys"), title: `${word("keys")} ( ? )` }, "?");
    help.addEventListener("click", () => this.showKeys());
    tools.append(help);
    this.append(tools, h("div", { class: "lht-body" }, this.names, this.scroller));
    this.addEventListener("keydown", (event) => this.press(event));
    this.scroller.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.scroller.addEventListener("focusin", (event) => {
      this.current = (event.target as Element).closest("[data-id]")?.getAttribute("data-id") ?? this.current;
    });
    document.addEventListener("lh-time", (event) => this.follow(event));
    new ResizeObserver(() => this.draw()).observe(this.scroller);
    this.draw();
    // An address that names a file and a second of this case opens there, and waits to be played.
    const link = linked();
    const entry = link && this.entries.find((one) => partOf(one, link.number));
    const part = entry && partOf(entry, link.number);
    if (entry && part) this.open(entry, (part.start - entry.start) / 1e6 + link.second, false);
  }

  private get entries(): readonly Entry[] {
    return this.data.lanes.flatMap((lane) => lane.entries);
  }

  private scale(factor: number, around = this.scroller.clientWidth / 2): void {
    const instant = instantAt(this.axis, this.scroller.scrollLeft + around);
    this.zoom = Math.min(400, Math.max(1, this.zoom * factor));
    this.draw();
    this.scroller.scrollLeft = position(this.axis, instant) - around;
  }

  private fit(): void {
    this.zoom = 1;
    this.unfolded.clear();
    this.draw();
    this.scroller.scrollLeft = 0;
  }

  private wheel(event: WheelEvent): void {
    if (!event.ctrlKey) return;
    event.preventDefault();
    this.scale(event.deltaY < 0 ? 1.25 : 0.8, event.clientX - this.scroller.getBoundingClientRect().left);
  }

  private draw(): void {
    const room = this.scroller.clientWidth;
    if (room === 0) return;
    const focused = this.scroller.contains(document.activeElement) ? (document.activeElement as Element).getAttribute("data-id") : null;
    const stretches = this.data.stretches.map((stretch, index) => (this.unfolded.has(index) ? { ...stretch, folded: false } : stretch));
    this.axis = place(stretches, room - 2, this.zoom);
    const width = Math.max(room - 2, this.axis.at(-1)?.right ?? 0);
    const tops: number[] = [];
    let y = HEAD;
    const heights = this.data.lanes.map((lane) => this.rowsOf(lane) * ROW[lane.kind] + 2 * PAD);
    for (const height of heights) { tops.push(y); y += height; }
    const foot = this.axis.some((_stretch, index) => this.data.stretches[index]?.folded) ? 26 : 8;
    const svg = s("svg", { width, height: y + foot, class: "lht-svg", "aria-hidden": "false" });
    this.drawAxis(svg, y);
    this.names.replaceChildren(h("div", { class: "lht-name lht-corner" }));
    for (const [index, lane] of this.data.lanes.entries()) {
      const top = tops[index] ?? 0;
      const height = heights[index] ?? 0;
      const name = h("div", { class: "lht-name", title: lane.label }, h("span", {}, ...lane.label.split(" · ").map((part) => h("b", {}, part))));
      name.style.height = `${height}px`;
      this.names.append(name);
      svg.append(s("line", { x1: 0, x2: width, y1: top, y2: top, class: "lht-rule" }));
      if (lane.kind === "document") this.drawDocuments(svg, lane, top + PAD);
      else this.drawBars(svg, lane, top + PAD);
    }
    this.scroller.replaceChildren(svg);
    if (focused) this.scroller.querySelector<SVGElement>(`[data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  private rowsOf(lane: Lane): number {
    return lane.kind === "document" ? Math.max(1, ...this.documentPlaces(lane).map(({ row }) => row + 1)) : Math.max(1, lane.rows);
  }

  private drawAxis(svg: SVGSVGElement, bottom: number): void {
    const { zone } = this.data;
    let lastDay = "";
    for (const [index, stretch] of this.axis.entries()) {
      const middle = (stretch.left + stretch.right) / 2;
      if (stretch.folded) { this.drawFold(svg, stretch, index, bottom); continue; }
      const was = this.data.stretches[index];
      svg.append(s("rect", { x: stretch.left, y: 24, width: stretch.right - stretch.left, height: bottom - 24, class: was?.folded ? "lht-idle" : "lht-shown" }));
      const day = dayName(stretch.start, zone);
      if (day !== lastDay || index === 0) svg.append(s("text", { x: middle, y: 16, class: "lht-day", "text-anchor": "middle" }, day));
      lastDay = dayName(stretch.end, zone);
      const offset = zoneOffset(stretch.start, zone);
      for (const { at, step } of ticks(stretch, 68, offset)) {
        const x = position(this.axis, at);
        svg.append(s("line", { x1: x, x2: x, y1: HEAD - 8, y2: bottom, class: "lht-tick" }));
        if (x - stretch.left < 20 || stretch.right - x < 20) continue;
        const label = step >= 86_400_000_000 ? dayName(at, zone) : wallTime(at, zone, step < 60_000_000);
        svg.append(s("text", { x, y: 38, class: "lht-hour", "text-anchor": "middle" }, label));
      }
      if (was?.folded) svg.append(this.foldButton(index, stretch, word("fold"), "lht-refold", bottom));
    }
  }

  private drawFold(svg: SVGSVGElement, stretch: Placed, index: number, bottom: number): void {
    svg.append(this.foldButton(index, stretch, word("unfold", { length: idle(stretch.end - stretch.start) }), "lht-fold", bottom));
  }

  private foldButton(index: number, stretch: Placed, label: string, classes: string, bottom: number): SVGElement {
    const middle = (stretch.left + stretch.right) / 2;
    const group = s("g", { class: classes, role: "button", tabindex: -1, "aria-label": label, "data-fold": index }, s("title", {}, label));
    const zigzag = [0, 6, 12, 18, 24].map((y, turn) => `${turn === 0 ? "M" : "L"}${turn % 2 ? 4 : 0} ${y}`).join("");
    group.append(s("rect", { x: stretch.left, y: 24, width: Math.min(FOLD_HIT, stretch.right - stretch.left), height: bottom, class: "lht-hit" }));
    for (const shift of [-6, 2]) group.append(s("path", { d: zigzag, transform: `translate(${middle + shift} 24)`, class: "lht-zigzag" }));
    group.append(s("text", { x: middle, y: bottom + 17, class: "lht-length", "text-anchor": "middle" }, idle(stretch.end - stretch.start)));
    const turn = (): void => {
      if (!this.unfolded.delete(index)) this.unfolded.add(index);
      this.draw();
    };
    group.addEventListener("click", turn);
    return group;
  }

  private drawBars(svg: SVGSVGElement, lane: Lane, top: number): void {
    for (const entry of lane.entries) {
      const left = position(this.axis, entry.start);
      const right = Math.max(left + MIN_BAR, position(this.axis, entry.end));
      const y = top + entry.row * ROW[lane.kind] + (ROW[lane.kind] - BAR[lane.kind]) / 2;
      const group = this.entryGroup(entry, lane);
      group.append(s("rect", { x: left, y, width: right - left, height: BAR[lane.kind], rx: 2, class: "lht-bar" }));
      drawParts(group, entry, this.axis, y, BAR[lane.kind], this.data.zone);
      const labels = labelsOf(entry);
      const room = (bareUntil(entry, this.axis) ?? right) - left;
      const spoken = entry.unverified ? [`${labels[0]}  ${word("clock_unverified")}`] : [];
      const fitting = [...spoken, ...labels].find((text) => textWidth(text) + LABEL_ROOM <= room);
      const baseline = y + BAR[lane.kind] / 2 + 5;
      if (fitting) group.append(s("text", { x: left + 6, y: baseline, class: "lht-text" }, fitting));
      else {
        const after = this.roomAfter(entry, lane) - right;
        const beside = labels.find((text) => textWidth(text) + LABEL_ROOM <= after);
        const reach = beside ? textWidth(beside) + LABEL_ROOM : Math.max(0, Math.min(after, LEAST_HIT - (right - left)));
        // A short recording is a bar of few pixels: what can be clicked is wider, and takes the label in.
        group.append(s("rect", { x: left, y, width: right - left + reach, height: BAR[lane.kind], class: "lht-hit" }));
        if (beside) group.append(s("text", { x: right + 5, y: baseline, class: "lht-text lht-beside" }, beside));
      }
      const playing = this.playing ? partOf(entry, this.playing.id) : undefined;
      if (this.playing && playing) {
        const x = position(this.axis, playing.start + this.playing.second * 1e6);
        group.append(s("line", { x1: x, x2: x, y1: y, y2: y + BAR[lane.kind], class: "lht-now" }));
      }
      svg.append(group);
    }
  }

  /** Where the next bar of the same row begins, or the axis ends: as far as a label beside a bar may reach. */
  private roomAfter(entry: Entry, lane: Lane): number {
    const later = lane.entries.filter((other) => other !== entry && other.row === entry.row && other.start >= entry.end);
    return Math.min(this.axis.at(-1)?.right ?? 0, ...later.map((other) => position(this.axis, other.start)));
  }

  private drawDocuments(svg: SVGSVGElement, lane: Lane, top: number): void {
    for (const { entry, x, flip, row } of this.documentPlaces(lane)) {
      const y = top + row * ROW.document + 4;
      const group = this.entryGroup(entry, lane);
      group.append(s("line", { x1: x, x2: x, y1: top - PAD, y2: y, class: "lht-leader" }));
      const mark = flip ? x - 9 : x;
      group.append(s("rect", { x: mark, y, width: 10, height: 13, rx: 1, class: "lht-sheet" }));
      group.append(s("text", { x: flip ? mark - 4 : mark + 14, y: y + 11, class: "lht-text", "text-anchor": flip ? "end" : "start" }, entry.label));
      svg.append(group);
    }
  }

  /** A side and a row for each document, so that no label runs off the axis or into another. */
  private documentPlaces(lane: Lane): { entry: Entry; x: number; flip: boolean; row: number }[] {
    const edge = this.axis.at(-1)?.right ?? 0;
    const taken: { row: number; left: number; right: number }[] = [];
    return lane.entries.map((entry) => {
      const x = position(this.axis, entry.start);
      const length = textWidth(entry.label) + 26;
      const flip = x + length > edge && x - length > 0;
      const [left, right] = flip ? [x - length, x + 4] : [x - 4, x + length];
      let row = 0;
      while (taken.some((one) => one.row === row && one.left < right && left < one.right)) row += 1;
      taken.push({ row, left, right });
      return { entry, x, flip, row };
    });
  }

  private entryGroup(entry: Entry, lane: Lane): SVGGElement {
    const { zone } = this.data;
    const times = entry.end > entry.start ? `${wallClock(entry.start, zone)} – ${wallTime(entry.end, zone, true)} (${shortTime((entry.end - entry.start) / 1e6)})` : wallClock(entry.start, zone);
    const name = [entry.name, entry.href === null ? undefined : entry.id, times, filesSaid(entry), entry.unverified ? word("clock_unverified") : undefined].filter(Boolean).join("\n");
    const classes = ["lht-entry", `lht-${lane.kind}`, entry.unverified ? "lht-unverified" : "", this.playing && partOf(entry, this.playing.id) ? "lht-chosen" : ""].join(" ").trim();
    const acts = entry.player !== null || entry.href !== null;
    const group = s("g", { class: classes, "data-id": entry.id, role: acts ? "button" : "img", "aria-label": name.replaceAll("\n", ", "), tabindex: acts && entry.id === (this.current ?? this.firstActing()) ? 0 : -1 }, s("title", {}, name));
    if (acts) {
      group.addEventListener("click", (event) => {
        const x = event.clientX - this.scroller.getBoundingClientRect().left + this.scroller.scrollLeft;
        const instant = instantAt(this.axis, x);
        this.open(entry, instant < entry.end ? Math.max(0, (instant - entry.start) / 1e6) : 0);
      });
    }
    return group;
  }

  private firstActing(): string | undefined {
    return this.entries.find((entry) => entry.player !== null || entry.href !== null)?.id;
  }

  /** Opens an entry at a second from its start; of a run, the file in which that second lies. */
  private open(entry: Entry, second: number, playing = true): void {
    const instant = entry.start + second * 1e6;
    const part = entry.parts?.find((one) => instant < one.end) ?? entry.parts?.at(-1);
    const id = part?.number ?? entry.id;
    const at = entry.end > entry.start ? Math.min(Math.max(0, (instant - (part?.start ?? entry.start)) / 1e6), ((part?.end ?? entry.end) - (part?.start ?? entry.start)) / 1e6) : 0;
    this.current = entry.id;
    this.playing = { id, second: at };
    this.draw();
    const target = document.getElementById(this.dataset["panel"] ?? "");
    if (entry.player === null || !target) {
      if (entry.href) window.location.assign(entry.href);
      return;
    }
    const open = (): Player | null => target.querySelector<Player>("lh-player");
    const shown = open();
    if (shown?.has(id)) {
      shown.seekIn(id, at);
      shown.play();
      return;
    }
    const address = part ? `/items/${encodeURIComponent(part.number)}/panel` : entry.player;
    void htmx.ajax("get", `${address}?at=${at.toFixed(3)}`, { target, swap: "innerHTML" }).then(() => { if (playing) open()?.play(); });
  }

  private follow(event: Event): void {
    const { id, second } = (event as CustomEvent<{ id: string; second: number }>).detail;
    this.playing = { id, second };
    const entry = this.entries.find((one) => partOf(one, id));
    const part = entry && partOf(entry, id);
    const line = entry && this.scroller.querySelector<SVGLineElement>(`[data-id="${CSS.escape(entry.id)}"] .lht-now`);
    if (!line || !part) return;
    const x = String(position(this.axis, part.start + second * 1e6));
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }

  private press(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || this.keys?.open) return;
    const acts: Record<string, () => void> = {
      "+": () => this.scale(1.5),
      "=": () => this.scale(1.5),
      "-": () => this.scale(1 / 1.5),
      "0": () => this.fit(),
      u: () => this.unfoldAll(),
      "?": () => this.showKeys(),
      ArrowLeft: () => this.walk(-1),
      ArrowRight: () => this.walk(1),
      ArrowUp: () => this.climb(-1),
      ArrowDown: () => this.climb(1),
    };
    const focused = (event.target as Element).closest("[data-id]")?.getAttribute("data-id");
    const entry = this.entries.find((one) => one.id === focused);
    // With a recording open, Space is the player's: it takes the key before it comes here.
    if ((event.key === "Enter" || event.key === " ") && entry) {
      event.preventDefault();
      this.open(entry, 0);
      return;
    }
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  private unfoldAll(): void {
    if (this.unfolded.size > 0) this.unfolded.clear();
    else this.data.stretches.forEach((stretch, index) => { if (stretch.folded) this.unfolded.add(index); });
    this.draw();
  }

  private focusEntry(entry: Entry | undefined): void {
    if (!entry) return;
    this.current = entry.id;
    this.draw();
    const group = this.scroller.querySelector<SVGGElement>(`[data-id="${CSS.escape(entry.id)}"]`);
    group?.focus({ preventScroll: true });
    const x = position(this.axis, entry.start);
    if (x < this.scroller.scrollLeft || x > this.scroller.scrollLeft + this.scroller.clientWidth - 60) this.scroller.scrollLeft = x - 60;
  }

  /** The neighbour in time, across lanes. */
  private walk(direction: -1 | 1): void {
    const acting = this.entries.filter((entry) => entry.player !== null || entry.href !== null).toSorted((a, b) => a.start - b.start);
    const at = acting.findIndex((entry) => entry.id === this.current);
    this.focusEntry(acting[Math.min(acting.length - 1, Math.max(0, at < 0 ? 0 : at + direction))]);
  }

  /** The entry of the neighbouring lane nearest in time. */
  private climb(direction: -1 | 1): void {
    const lanes = this.data.lanes.filter((lane) => lane.entries.some((entry) => entry.player !== null || entry.href !== null));
    const at = lanes.findIndex((lane) => lane.entries.some((entry) => entry.id === this.current));
    const lane = lanes[Math.min(lanes.length - 1, Math.max(0, at + direction))];
    const now = this.entries.find((entry) => entry.id === this.current)?.start ?? 0;
    this.focusEntry(lane?.entries.toSorted((a, b) => Math.abs(a.start - now) - Math.abs(b.start - now))[0]);
  }

  private showKeys(): void {
    if (!this.keys) {
      this.keys = keysDialog(word("keys"), word("close"), [
        [["←", "→"], word("key_walk")],
        [["↑", "↓"], word("key_climb")],
        [["Enter", word("space_key")], word("key_open")],
        [["+", "-"], word("key_zoom")],
        [["0"], word("fit")],
        [["U"], word("key_unfold")],
        [["?"], word("keys")],
      ]);
      this.append(this.keys);
    }
    this.keys.showModal();
  }
}

const FOLD_HIT = 40;
const MINUTE = 60_000_000;

/** The length of an idle stretch in the unit a person would say it in. */
function idle(us: number): string {
  const minutes = us / MINUTE;
  if (minutes < 90) return word("minutes", { count: Math.round(minutes) });
  if (minutes < 48 * 60) return word("hours", { count: Math.round(minutes / 60) });
  return word("days", { count: Math.round(minutes / 1440) });
}

customElements.define("lh-timeline", TimelineView);
