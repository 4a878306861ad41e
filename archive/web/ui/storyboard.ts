// The storyboard: a sprite of small pictures and a WebVTT file that says which rectangle belongs to which seconds.

export interface Tile {
  readonly start: number;
  readonly end: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const CUE = /(?:(\d+):)?(\d{2}):(\d{2})\.(\d{3})\s+-->\s+(?:(\d+):)?(\d{2}):(\d{2})\.(\d{3})[^\n]*\n[^\n]*#xywh=(\d+),(\d+),(\d+),(\d+)/g;

/** The tiles of a WebVTT storyboard in order of time; anything that is not a tile is passed over. */
export function tiles(vtt: string): Tile[] {
  const found: Tile[] = [];
  for (const cue of vtt.replaceAll("\r\n", "\n").matchAll(CUE)) {
    const n = cue.slice(1).map((part) => Number(part ?? 0)) as number[];
    const at = (from: number): number => (n[from] ?? 0) * 3600 + (n[from + 1] ?? 0) * 60 + (n[from + 2] ?? 0) + (n[from + 3] ?? 0) / 1000;
    found.push({ start: at(0), end: at(4), x: n[8] ?? 0, y: n[9] ?? 0, width: n[10] ?? 0, height: n[11] ?? 0 });
  }
  return found.sort((a, b) => a.start - b.start);
}

/** The tile shown at a second: the last one that has begun. */
export function tileAt(board: readonly Tile[], second: number): Tile | undefined {
  let low = 0;
  let high = board.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((board[middle]?.start ?? Infinity) <= second) low = middle + 1;
    else high = middle;
  }
  return board[Math.max(0, low - 1)];
}

/** Fills a stretch of the strip with as many tiles as fit, each the one of its middle second; where none fits, with the middle of one. */
export function drawTiles(
  context: CanvasRenderingContext2D, left: number, width: number, height: number, sprite: HTMLImageElement, board: readonly Tile[], duration: number,
): void {
  const first = board[0];
  if (!first || first.height === 0 || duration <= 0) return;
  const count = Math.max(1, Math.round(width / ((first.width * height) / first.height)));
  const each = width / count;
  for (let index = 0; index < count; index += 1) {
    const tile = tileAt(board, (duration * (index + 0.5)) / count);
    if (!tile) continue;
    const shown = Math.min(tile.width, (tile.height * each) / height);
    context.drawImage(sprite, tile.x + (tile.width - shown) / 2, tile.y, shown, tile.height, left + index * each, 0, Math.max(1, each - 1), height);
  }
}

/** Draws one tile to fill a preview canvas. */
export function drawTile(canvas: HTMLCanvasElement, sprite: HTMLImageElement, tile: Tile): void {
  const shown = 176;
  const height = Math.round((shown * tile.height) / Math.max(1, tile.width));
  canvas.width = shown * 2;
  canvas.height = height * 2;
  canvas.style.width = `${shown}px`;
  canvas.style.height = `${height}px`;
  canvas.getContext("2d")?.drawImage(sprite, tile.x, tile.y, tile.width, tile.height, 0, 0, canvas.width, canvas.height);
}

/** The tiles of a storyboard and the picture they lie in, or nothing where it is not there (yet). */
export async function loadBoard(
  vtt: string | undefined, picture: string | undefined, signal: AbortSignal,
): Promise<[readonly Tile[], HTMLImageElement] | undefined> {
  if (!vtt || !picture) return undefined;
  const answer = await fetch(vtt, { signal }).catch(() => undefined);
  if (!answer?.ok) return undefined;
  const board = tiles(await answer.text());
  const sprite = new Image();
  sprite.src = picture;
  await sprite.decode().catch(() => undefined);
  return sprite.naturalWidth === 0 || board.length === 0 ? undefined : [board, sprite];
}
