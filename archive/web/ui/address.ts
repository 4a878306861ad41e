// The second somebody is at, in the address: `#at=131102-LX-2026-00000232,12.345` names a file and its second, so that the address can be
// passed on and opens there. It follows where playback stops or is sought; while it plays, now and then.

import type { Deck } from "./deck";
import type { Line, Place } from "./run";

const FORM = /^#at=([^,]+),(\d+(?:\.\d+)?)$/;
/** The file and second that the address names. */
export function linked(): { readonly number: string; readonly second: number } | undefined {
  const form = FORM.exec(window.location.hash);
  return form ? { number: decodeURIComponent(form[1] ?? ""), second: Number(form[2]) } : undefined;
}

const EVERY_MS = 2000;
const SETTLED_MS = 250;

export class Address {
  private readonly deck: Deck;
  private readonly line: Line;
  private written = "";
  private last = 0;
  private timer = 0;

  constructor(deck: Deck, line: Line) {
    this.deck = deck;
    this.line = line;
  }

  /** The place that the address names, if it is on this line. */
  static read(line: Line): Place | undefined {
    const link = linked();
    const index = link ? line.indexOf(link.number) : -1;
    return link && index >= 0 ? { index, second: link.second } : undefined;
  }

  /** Whether the address says what was written here last. */
  mine(): boolean {
    return window.location.hash === this.written;
  }

  /** Writes where the deck is, soon. */
  follow(): void {
    if (this.timer) return;
    const wait = this.deck.paused ? SETTLED_MS : Math.max(SETTLED_MS, EVERY_MS - (performance.now() - this.last));
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.write();
    }, wait);
  }

  private write(): void {
    const file = this.line.files[this.deck.index];
    if (!file?.number || !this.deck.media.isConnected) return;
    this.last = performance.now();
    const hash = `#at=${encodeURIComponent(file.number)},${Number(this.deck.second.toFixed(3))}`;
    if (hash === this.written) return;
    this.written = hash;
    window.history.replaceState(window.history.state, "", hash);
  }
}
