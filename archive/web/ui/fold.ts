// The folded axis: stretches in which something happened keep their scale, idle ones shrink to a mark until somebody unfolds
// them. Pure, so that what is drawn can be asked for its positions.

export interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly folded: boolean;
}

export interface Placed extends Stretch {
  readonly left: number;
  readonly right: number;
}

export const FOLD_PX = 40;
const LEAST_PX = 104;

/**
 * Places the stretches over at least `room` pixels. All shown stretches share one scale, except that none gets narrower than
 * a day's heading; an idle stretch somebody unfolded takes at most half the room.
 */
export function place(stretches: readonly Stretch[], room: number, zoom: number): Placed[] {
  const folds = stretches.filter((stretch) => stretch.folded).length;
  const shown = stretches.filter((stretch) => !stretch.folded);
  const forShown = room - folds * FOLD_PX;
  const least = Math.min(LEAST_PX, Math.max(24, forShown / Math.max(1, shown.length)));
  const floor = shown.length * LEAST_PX > forShown ? LEAST_PX : least;
  const widthAt = (scale: number): number => shown.reduce((sum, { start, end }) => sum + Math.max(floor, (end - start) * scale), 0);
  let low = 0;
  let high = forShown / Math.max(1, Math.min(...shown.map(({ start, end }) => end - start)));
  for (let round = 0; round < 60; round += 1) {
    const middle = (low + high) / 2;
    if (widthAt(middle) > forShown) high = middle;
    else low = middle;
  }
  const placed: Placed[] = [];
  let left = 0;
  for (const stretch of stretches) {
    const width = stretch.folded ? FOLD_PX : Math.max(floor, (stretch.end - stretch.start) * low) * zoom;
    placed.push({ ...stretch, left, right: left + width });
    left += width;
  }
  return placed;
}

/** Where an instant stands, in pixels; what lies outside stands at the nearer edge. */
export function position(axis: readonly Placed[], instant: number): number {
  for (const stretch of axis) {
    if (instant < stretch.end) {
      const into = Math.max(0, instant - stretch.start) / Math.max(1, stretch.end - stretch.start);
      return stretch.left + (stretch.right - stretch.left) * into;
    }
  }
  return axis.at(-1)?.right ?? 0;
}

/** The instant under a pixel. */
export function instantAt(axis: readonly Placed[], x: number): number {
  const stretch = axis.find(({ right }) => x < right) ?? axis.at(-1);
  if (!stretch) return 0;
  return stretch.start + ((x - stretch.left) / Math.max(1, stretch.right - stretch.left)) * (stretch.end - stretch.start);
}

const SECOND = 1_000_000;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800].map((s) => s * SECOND);

/** The instants to label in a stretch, at round times of the zone, at least `apart` pixels from one another. */
export function ticks(stretch: Placed, apart: number, offset: number): { readonly at: number; readonly step: number }[] {
  const scale = (stretch.right - stretch.left) / Math.max(1, stretch.end - stretch.start);
  const step = STEPS.find((candidate) => candidate * scale >= apart) ?? 604_800 * SECOND;
  const found = [];
  for (let at = Math.ceil((stretch.start + offset) / step) * step - offset; at < stretch.end; at += step) found.push({ at, step });
  return found;
}
