// A run as one line of time: the files of one recorder in their order, with the gaps between them as wide as they were. A file that
// stands alone is a run of one. Seconds on the line count from the first file's start; seconds in a file count from its own. Pure.

/** A file of a run as the page gives it: instants and lengths in microseconds, `by` what its join to the file before rests on. */
export interface RunFile {
  readonly number: string;
  readonly href: string;
  readonly start: number | null;
  readonly length: number | null;
  readonly by: "sequence" | "time" | null;
}

export interface RunData {
  readonly at: number;
  readonly files: readonly RunFile[];
}

export interface Place {
  readonly index: number;
  readonly second: number;
}

/** What lies between two files: above zero nothing is on record, below zero both hold it. `at` is where on the line it begins. */
export interface LineJoin {
  readonly index: number;
  readonly at: number;
  readonly seconds: number;
  readonly by: "sequence" | "time" | null;
}

export class Line {
  readonly files: readonly RunFile[];
  private alone = 0;

  constructor(data: RunData | undefined, own: RunFile) {
    this.files = data?.files ?? [own];
    this.alone = (own.length ?? 0) / 1e6;
  }

  get joined(): boolean {
    return this.files.length > 1;
  }

  /** A file that stands alone is as long as the browser finds it, whatever was measured. */
  measured(seconds: number): void {
    if (!this.joined && Number.isFinite(seconds) && seconds > 0) this.alone = seconds;
  }

  /** Where a file begins on the line. */
  from(index: number): number {
    return this.joined ? ((this.files[index]?.start ?? 0) - (this.files[0]?.start ?? 0)) / 1e6 : 0;
  }

  /** How long a file is. */
  lasts(index: number): number {
    return this.joined ? (this.files[index]?.length ?? 0) / 1e6 : this.alone;
  }

  get length(): number {
    const last = this.files.length - 1;
    return this.from(last) + this.lasts(last);
  }

  /** Where a file's second stands on the line; never past the file's own end. */
  position(index: number, second: number): number {
    return this.from(index) + (this.joined ? Math.min(second, this.lasts(index)) : second);
  }

  /**
   * The file and its second at a position. Where two files overlap it is the earlier one, which goes on into the later; in a gap it is
   * the beginning of the file after it, or, going backwards, the end of the file before.
   */
  place(position: number, backwards = false): Place {
    let low = 0;
    let high = this.files.length;
    // Files begin one after another: the last that has begun, then back over those that still go on.
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.from(middle) <= position) low = middle + 1;
      else high = middle;
    }
    let index = Math.max(0, low - 1);
    while (index > 0 && position < this.from(index - 1) + this.lasts(index - 1)) index -= 1;
    const second = position - this.from(index);
    if (second < this.lasts(index) || index + 1 >= this.files.length || backwards) return { index, second: Math.max(0, Math.min(second, this.lasts(index))) };
    return { index: index + 1, second: 0 };
  }

  /** Whether nothing is on record at a position. */
  inGap(position: number): boolean {
    return this.joins.some((join) => join.seconds > 0 && join.at <= position && position < join.at + join.seconds);
  }

  get joins(): readonly LineJoin[] {
    this.found ??= this.files.slice(1).map((file, before) => {
      const at = this.from(before) + this.lasts(before);
      return { index: before + 1, at, seconds: this.from(before + 1) - at, by: file.by };
    });
    return this.found;
  }

  private found: readonly LineJoin[] | undefined;

  /** The index of a file by its number, or -1. */
  indexOf(number: string): number {
    return this.files.findIndex((file) => file.number === number);
  }
}
