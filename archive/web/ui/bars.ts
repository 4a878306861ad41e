// A run as one bar of a timeline: where its files meet, what lies between them, and which of them the case does not hold.

import { wallClock } from "./clock";
import { s } from "./dom";
import { type Placed, position } from "./fold";
import { joinSaid } from "./rail";
import { word } from "./words";

/** A file of a bar; `place` counts in the whole run, of which a case may hold only some files. */
export interface Part {
  readonly number: string;
  readonly start: number;
  readonly end: number;
  readonly place: number;
  readonly bound: boolean;
}

/** What lies between two files, in microseconds; below zero both hold it. */
export interface Join {
  readonly gap: number;
  readonly by: string;
}

export interface Bar {
  readonly id: string;
  readonly label: string;
  readonly start: number;
  readonly parts?: readonly Part[];
  readonly joins?: readonly Join[];
  readonly files?: number;
}

const NOTCH = 1.5;
const NOTCH_HIT = 7;

/** The stretch of an entry that an item is: the entry itself, or a file of its run. */
export function partOf(bar: Bar, number: string): { readonly start: number } | undefined {
  const part = bar.parts?.find((one) => one.number === number);
  return part ?? (bar.id === number ? bar : undefined);
}

/** Draws where one file ends and the next begins as thin notches that say what lies between; files that the case does not hold are hollow. */
export function drawParts(group: SVGGElement, bar: Bar, axis: readonly Placed[], y: number, height: number, zone: string): void {
  for (const part of bar.parts ?? []) {
    if (part.bound) continue;
    const left = position(axis, part.start);
    group.append(s("rect", { x: left, y, width: Math.max(1, position(axis, part.end) - left), height, class: "lht-unbound" }, s("title", {}, `${part.number}\n${word("unbound_part")}`)));
  }
  for (const [index, join] of (bar.joins ?? []).entries()) {
    const before = bar.parts?.[index];
    if (!before) continue;
    const ends = [position(axis, before.end), position(axis, before.end + join.gap)];
    const width = Math.max(NOTCH, Math.abs((ends[1] ?? 0) - (ends[0] ?? 0)));
    const middle = ((ends[0] ?? 0) + (ends[1] ?? 0)) / 2;
    const reach = Math.max(width, NOTCH_HIT);
    const said = `${joinSaid({ seconds: join.gap / 1e6, by: join.by })}\n${wallClock(before.end, zone)}`;
    group.append(s("g", { class: join.gap < 0 ? "lht-notch lht-overlap" : "lht-notch" },
      s("rect", { x: middle - width / 2, y, width, height }),
      s("rect", { x: middle - reach / 2, y, width: reach, height, class: "lht-hit" }),
      s("title", {}, said)));
  }
}

/** How far a label may reach on a bar: to the first notch, or the first file that is drawn hollow. */
export function bareUntil(bar: Bar, axis: readonly Placed[]): number | undefined {
  const hollow = bar.parts?.find((part) => !part.bound);
  const first = bar.parts?.[0];
  const notch = first && bar.joins?.[0] ? first.end + Math.min(0, bar.joins[0].gap) : undefined;
  const ends = [hollow?.start, notch].filter((end) => end !== undefined);
  return ends.length > 0 ? position(axis, Math.min(...ends)) - NOTCH : undefined;
}

function held(bar: Bar): string | undefined {
  if (!bar.parts || !bar.files || bar.files < 2) return undefined;
  const bound = bar.parts.filter((part) => part.bound).length;
  return word("run_files", { count: bound === bar.files ? bound : `${bound} / ${bar.files}` });
}

/** What a bar may be labelled with, the fullest first: its name, and how many files it is where it is more than one; never a piece of it. */
export function labelsOf(bar: Bar): readonly [string, ...string[]] {
  const files = held(bar);
  const stem = bar.label.replace(/\.[^.]+$/, "");
  return files ? [`${bar.label}  ${files}`, `${stem}  ${files}`, bar.label, stem, files] : [bar.label, stem];
}

/** How many files a bar is and what lies between them, for whoever hovers or hears it. */
export function filesSaid(bar: Bar): string | undefined {
  const gaps = (bar.joins ?? []).map((join) => join.gap / 1e6).sort((a, b) => a - b);
  const least = gaps[0];
  const most = gaps.at(-1);
  if (least === undefined || most === undefined) return held(bar);
  const said = (seconds: number): string => joinSaid({ seconds, by: null });
  return [held(bar), said(most), least < 0 && least !== most ? said(least) : undefined].filter(Boolean).join("  ·  ");
}
