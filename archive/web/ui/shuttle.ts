// J and L: each press a gear further. A browser cannot play backwards, so that J seeks back by the clock, over joins too.

import type { Deck } from "./deck";

const TICK_MS = 125;
const GEARS = 3;

export class Shuttle {
  private readonly deck: Deck;
  private readonly setSpeed: (rate: number) => void;
  private gear = 0;
  private timer = 0;

  constructor(deck: Deck, setSpeed: (rate: number) => void) {
    this.deck = deck;
    this.setSpeed = setSpeed;
  }

  shift(direction: -1 | 1): void {
    const gear = direction * this.gear > 0 ? Math.min(GEARS, Math.abs(this.gear) + 1) : 1;
    this.stop();
    this.gear = direction * gear;
    const rate = 2 ** (gear - 1);
    if (direction > 0) {
      this.setSpeed(rate);
      this.deck.play();
      return;
    }
    this.deck.pause();
    this.timer = window.setInterval(() => {
      this.deck.seek(this.deck.at - (rate * TICK_MS) / 1000, true);
      if (this.deck.at <= 0) this.stop();
    }, TICK_MS);
  }

  stop(): void {
    window.clearInterval(this.timer);
    this.gear = 0;
  }
}
