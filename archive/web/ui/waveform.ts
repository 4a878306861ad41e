// The waveform: least and greatest sample of each short stretch, computed on the server (hours of audio would not fit in a tab).

export interface Peaks {
  /** Stretches a second. */
  readonly rate: number;
  /** The greatest magnitude a peak can have. */
  readonly full: number;
  readonly low: ArrayLike<number>;
  readonly high: ArrayLike<number>;
}

export interface Silence {
  readonly start: number;
  readonly end: number;
}

/** Silence shorter than this is how people speak, not something missing. */
const SILENCE_SECONDS = 3;
/** Two hundredths of full scale: under it a recorder's microphone hears only itself. */
const SILENCE_LEVEL = 0.02;

/** Stretches in which nothing can be heard, in seconds, half-open. */
export function silences(peaks: Peaks): Silence[] {
  const found: Silence[] = [];
  let since = -1;
  const close = (stop: number): void => {
    if (since >= 0 && (stop - since) / peaks.rate >= SILENCE_SECONDS) found.push({ start: since / peaks.rate, end: stop / peaks.rate });
    since = -1;
  };
  for (let index = 0; index < peaks.high.length; index += 1) {
    const loudest = Math.max(Math.abs(peaks.low[index] ?? 0), Math.abs(peaks.high[index] ?? 0)) / peaks.full;
    if (loudest > SILENCE_LEVEL) close(index);
    else if (since < 0) since = index;
  }
  close(peaks.high.length);
  return found;
}

/** Draws a stretch of the wave, its silences tinted. */
export function drawPeaks(
  canvas: HTMLCanvasElement, context: CanvasRenderingContext2D, left: number, width: number, height: number,
  peaks: Peaks, quiet: readonly Silence[], duration: number,
): void {
  if (duration <= 0) return;
  const style = getComputedStyle(canvas);
  context.fillStyle = style.getPropertyValue("--lh-wave-silence") || "#5a4a26";
  for (const gap of quiet) context.fillRect(left + (gap.start / duration) * width, 0, Math.max(1, ((gap.end - gap.start) / duration) * width), height);
  context.fillStyle = style.getPropertyValue("--lh-wave") || "#7f8fa9";
  const middle = height / 2;
  const columns = Math.max(1, Math.floor(width / 3));
  for (let column = 0; column < columns; column += 1) {
    const from = Math.floor((column / columns) * duration * peaks.rate);
    const to = Math.max(from + 1, Math.floor(((column + 1) / columns) * duration * peaks.rate));
    let low = 0;
    let high = 0;
    for (let index = from; index < to && index < peaks.high.length; index += 1) {
      low = Math.min(low, peaks.low[index] ?? 0);
      high = Math.max(high, peaks.high[index] ?? 0);
    }
    const up = Math.max(0.5, (high / peaks.full) * (middle - 2));
    const down = Math.max(0.5, (-low / peaks.full) * (middle - 2));
    context.fillRect(left + (column / columns) * width, middle - up, 2, up + down);
  }
}

/** The stored form: version 2 of BBC audiowaveform's JSON, least and greatest by turns. */
interface Written {
  readonly sample_rate: number;
  readonly samples_per_pixel: number;
  readonly bits: number;
  readonly data: readonly number[];
}

/** Reads stored peaks. */
export function readPeaks(written: Written): Peaks {
  return {
    rate: written.sample_rate / written.samples_per_pixel,
    full: 2 ** (written.bits - 1),
    low: written.data.filter((_, index) => index % 2 === 0),
    high: written.data.filter((_, index) => index % 2 === 1),
  };
}

/** The peaks at an address, or nothing where they are not there (yet). */
export async function loadPeaks(address: string | undefined, signal: AbortSignal): Promise<Peaks | undefined> {
  if (!address) return undefined;
  const answer = await fetch(address, { signal }).catch(() => undefined);
  return answer?.ok ? readPeaks((await answer.json()) as Parameters<typeof readPeaks>[0]) : undefined;
}
