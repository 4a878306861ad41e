// What is known of the files of a run beyond their times: how each plays, its pictures and its sound, asked for when they are needed.

import type { Source } from "./delivery";
import type { Line } from "./run";
import { loadBoard, type Tile } from "./storyboard";
import { loadPeaks, type Peaks, type Silence, silences } from "./waveform";

/** How a file plays: where from, and its addresses and facts by the names of the player's data attributes, with hyphens. */
export interface Details {
  readonly sources: readonly Source[];
  readonly data: Readonly<Record<string, string>>;
  /** Whether something that plays is still being made. */
  readonly waiting: boolean;
  readonly reason: string;
}

export interface Disturbed {
  readonly kind: string;
  readonly start: number;
  readonly end: number;
}

/** A file's pictures and sound. */
export interface Companions {
  board: readonly Tile[];
  sprite: HTMLImageElement | undefined;
  peaks: Peaks | undefined;
  quiet: readonly Silence[];
}

/** Pictures are fetched for at most this many files: more would not be told apart on a line of some hundred pixels. */
const MOST = 24;

export class Files {
  private readonly line: Line;
  private readonly signal: AbortSignal;
  private readonly changed: () => void;
  private readonly asked = new Map<number, Promise<Details | undefined>>();
  private readonly known = new Map<number, Details>();
  private readonly beside = new Map<number, Companions>();
  private readonly loading = new Set<number>();
  private readonly news = new Set<number>();
  private everything = false;

  constructor(line: Line, signal: AbortSignal, changed: () => void) {
    this.line = line;
    this.signal = signal;
    this.changed = changed;
  }

  /** Takes what the page itself says of a file, now or when it has news. */
  give(index: number, details: Details): void {
    this.known.set(index, details);
    this.asked.set(index, Promise.resolve(details));
    if (this.loading.has(index)) this.news.add(index);
  }

  /** How a file plays, if that is known already. */
  now(index: number): Details | undefined {
    return this.known.get(index);
  }

  /** How a file plays; nothing where the archive does not say. What could not be played yet is asked anew. */
  async details(index: number): Promise<Details | undefined> {
    const known = this.known.get(index);
    if (known && (known.sources.length > 0 || !this.line.joined)) return known;
    let asking = this.asked.get(index);
    if (!asking || known) {
      asking = this.ask(index);
      this.asked.set(index, asking);
    }
    return asking;
  }

  private async ask(index: number): Promise<Details | undefined> {
    const file = this.line.files[index];
    const answer = file ? await fetch(`${file.href}/replay`, { signal: this.signal }).catch(() => undefined) : undefined;
    if (!answer?.ok) { this.asked.delete(index); return undefined; }
    const details = (await answer.json().catch(() => undefined)) as Details | undefined;
    if (!details) return undefined;
    this.known.set(index, details);
    return details;
  }

  /** The stretches of a file that examination noted, in seconds, as far as they are known. */
  disturbances(index: number): readonly Disturbed[] {
    const written = this.known.get(index)?.data["disturbances"];
    const found = written ? (JSON.parse(written) as { kind: string; start_us: number; end_us: number }[]) : [];
    return found.map(({ kind, start_us: start, end_us: end }) => ({ kind, start: start / 1e6, end: end / 1e6 }));
  }

  /** A file's pictures and sound as far as they are here. */
  companions(index: number): Companions | undefined {
    return this.beside.get(index);
  }

  /** Fetches a file's pictures and sound, once; anew after `give` named addresses that were not there before. */
  async load(index: number): Promise<void> {
    await this.fetched(index).catch((why: unknown) => { if (!this.signal.aborted) throw why; });
  }

  private async fetched(index: number): Promise<void> {
    if (this.loading.has(index)) return;
    this.loading.add(index);
    const details = await this.details(index);
    if (!details) { this.loading.delete(index); return; }
    const have = this.beside.get(index) ?? { board: [], sprite: undefined, peaks: undefined, quiet: [] };
    this.beside.set(index, have);
    const { data } = details;
    if (!have.sprite) {
      const board = await loadBoard(data["storyboard-vtt"], data["storyboard"], this.signal);
      if (board) [have.board, have.sprite] = board;
    }
    if (!have.peaks) {
      have.peaks = await loadPeaks(data["waveform"], this.signal);
      have.quiet = have.peaks ? silences(have.peaks) : [];
    }
    // What was not made yet may be asked for again, and is at once where news of it came meanwhile: a page names its addresses one by one.
    if (!have.sprite || !have.peaks) this.loading.delete(index);
    if (this.signal.aborted) return;
    this.changed();
    if (this.news.delete(index)) await this.fetched(index);
  }

  /** Fetches the pictures and sound of the files around one, nearest first, one after another. */
  async loadAround(index: number): Promise<void> {
    if (this.everything || !this.line.joined) return;
    this.everything = true;
    const order = [...this.line.files.keys()].sort((a, b) => Math.abs(a - index) - Math.abs(b - index)).slice(0, MOST);
    for (const each of order) {
      if (this.signal.aborted) return;
      if (!this.beside.has(each)) await this.load(each);
    }
  }
}
