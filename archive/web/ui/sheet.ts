// One page on a canvas: the view first, tiles of the full resolution over it where it is looked at closely. Turning is of the view only.
//
// Coordinates: the page's own pixels at full resolution; `scale` is CSS pixels per page pixel, `middle` the page point in the canvas's middle.

import { sized } from "./dom";

/** A page as /api/v1/items/{number}/pages tells it. */
export interface Leaf {
  readonly page: number;
  readonly number: string;
  readonly width: number;
  readonly height: number;
  readonly view: string;
  readonly thumb: string;
  readonly tiles: string | null;
  readonly state: "ready" | "waiting" | "absent" | "unreadable" | "failed";
}

/** The geometry of a page's tiles, once they are made. */
export interface Pyramid {
  readonly width: number;
  readonly height: number;
  readonly tile: number;
  readonly levels: readonly (readonly [number, number])[];
}

export type Fit = "width" | "page" | "free";

/** Tiles held decoded: a screen of 4K shows 45; each takes a megabyte. */
const HELD = 160;
/** A page pixel is shown at most this large. */
const MOST = 8;
const MARGIN = 12;

export class Sheet {
  readonly canvas = document.createElement("canvas");
  private size: readonly [number, number] = [0, 0];
  private view: HTMLImageElement | undefined;
  private pyramid: Pyramid | undefined;
  private address = "";
  private readonly tiles = new Map<string, HTMLImageElement>();
  private middle: [number, number] = [0, 0];
  private scale = 1;
  private turn = 0;
  private fit: Fit = "page";
  private due = 0;

  /** `changed` is told after every drawing. */
  constructor(private readonly changed: () => void) {
    new ResizeObserver(() => this.lay()).observe(this.canvas);
  }

  get percent(): number { return Math.round(this.scale * 100); }
  get turned(): number { return this.turn; }
  get ready(): boolean { return this.view !== undefined; }

  /** Whether more pixels are shown than the view has, so that the full resolution would be seen. */
  get close(): boolean {
    return this.view !== undefined && this.scale * (window.devicePixelRatio || 1) * this.size[0] > this.view.naturalWidth * 1.05;
  }

  /** Whether every tile that is looked at is there. */
  get sharp(): boolean {
    return this.pyramid !== undefined && this.close && this.wanted().every(([, , , name]) => this.tiles.get(name)?.complete === true);
  }

  /** The level that is shown: -1 while it is the view. */
  get level(): number { return this.pyramid && this.close ? this.wantedLevel(this.pyramid) : -1; }

  clear(): void {
    this.view = undefined;
    this.pyramid = undefined;
    this.tiles.clear();
    this.draw();
  }

  show(leaf: Leaf, view: HTMLImageElement): void {
    const other = this.view === undefined;
    this.view = view;
    // What is told of a PDF's page is rounded; the view has the page's true shape.
    this.size = [leaf.width, Math.max(1, Math.round((leaf.width * view.naturalHeight) / view.naturalWidth))];
    if (other && this.fit === "free") {
      this.middle = [this.size[0] / 2, this.canvas.clientHeight / 2 / this.scale];
      this.hold();
    }
    this.lay();
  }

  sharpen(address: string, pyramid: Pyramid): void {
    const factor = pyramid.width / this.size[0];
    this.address = address;
    this.pyramid = pyramid;
    this.size = [pyramid.width, pyramid.height];
    this.middle = [this.middle[0] * factor, this.middle[1] * factor];
    this.scale /= factor;
    this.draw();
  }

  fitTo(fit: Fit): void {
    this.fit = fit;
    this.lay();
    if (fit === "width") this.top();
  }

  rotate(): void {
    this.turn = (this.turn + 90) % 360;
    this.lay();
  }

  /** Scale to so many CSS pixels per page pixel, keeping the page point under (x, y) of the canvas where it is. */
  scaleTo(scale: number, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2): void {
    const under = this.pageAt(x, y);
    this.fit = "free";
    this.scale = Math.min(MOST, Math.max(Math.min(this.whole(), 1) / 2, scale));
    const now = this.pageAt(x, y);
    this.middle = [this.middle[0] + under[0] - now[0], this.middle[1] + under[1] - now[1]];
    this.hold();
    this.draw();
  }

  scaleBy(factor: number, x?: number, y?: number): void {
    this.scaleTo(this.scale * factor, x, y);
  }

  /** Move by CSS pixels; false if there was nowhere to move. */
  pan(x: number, y: number): boolean {
    const [across, down] = this.unturned(x, y);
    const before = this.middle;
    this.middle = [before[0] + across / this.scale, before[1] + down / this.scale];
    this.hold();
    const moved = Math.abs(this.middle[0] - before[0]) + Math.abs(this.middle[1] - before[1]) > 0.01;
    if (moved) this.draw();
    return moved;
  }

  /** To the beginning of the page, as one that is turned over is read from its top. */
  top(): void {
    this.pan(0, -1e9);
  }

  private get shape(): readonly [number, number] {
    return this.turn % 180 === 0 ? this.size : [this.size[1], this.size[0]];
  }

  private whole(): number {
    const [width, height] = this.shape;
    return Math.min((this.canvas.clientWidth - 2 * MARGIN) / width, (this.canvas.clientHeight - 2 * MARGIN) / height);
  }

  private lay(): void {
    if (this.size[0] === 0 || this.canvas.clientWidth === 0) return;
    if (this.fit === "page") this.scale = this.whole();
    if (this.fit === "width") this.scale = (this.canvas.clientWidth - 2 * MARGIN) / this.shape[0];
    this.hold();
    this.draw();
  }

  /** Keep the page in sight: what is smaller than the canvas stands in its middle, what is larger covers it. */
  private hold(): void {
    const room = this.turn % 180 === 0 ? [this.canvas.clientWidth, this.canvas.clientHeight] : [this.canvas.clientHeight, this.canvas.clientWidth];
    this.middle = [0, 1].map((axis) => {
      const size = this.size[axis] as number;
      const half = (room[axis] as number) / 2 / this.scale - MARGIN / this.scale;
      return size <= 2 * half ? size / 2 : Math.min(size - half, Math.max(half, this.middle[axis] as number));
    }) as [number, number];
  }

  private unturned(x: number, y: number): [number, number] {
    return ({ 0: [x, y], 90: [y, -x], 180: [-x, -y], 270: [-y, x] } as Record<number, [number, number]>)[this.turn] as [number, number];
  }

  private pageAt(x: number, y: number): [number, number] {
    const [across, down] = this.unturned(x - this.canvas.clientWidth / 2, y - this.canvas.clientHeight / 2);
    return [this.middle[0] + across / this.scale, this.middle[1] + down / this.scale];
  }

  private draw(): void {
    if (this.due !== 0) return;
    this.due = requestAnimationFrame(() => { this.due = 0; this.paint(); this.changed(); });
  }

  private paint(): void {
    const surface = sized(this.canvas);
    if (!surface) return;
    const { context, width, height } = surface;
    context.clearRect(0, 0, width, height);
    if (!this.view) return;
    context.imageSmoothingQuality = "high";
    context.translate(width / 2, height / 2);
    context.rotate((this.turn * Math.PI) / 180);
    context.scale(this.scale, this.scale);
    context.translate(-this.middle[0], -this.middle[1]);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, this.size[0], this.size[1]);
    context.drawImage(this.view, 0, 0, this.size[0], this.size[1]);
    if (!this.pyramid || !this.close) return;
    const level = this.wantedLevel(this.pyramid);
    const per = this.size[0] / (this.pyramid.levels[level] as readonly [number, number])[0];
    for (const [, x, y, name] of this.wanted()) {
      const tile = this.tile(name);
      // A hair wider than it is: between two scaled tiles the view would shine through.
      if (tile.complete && tile.naturalWidth > 0) context.drawImage(tile, x * this.pyramid.tile * per, y * this.pyramid.tile * per, tile.naturalWidth * per + 0.5 / this.scale, tile.naturalHeight * per + 0.5 / this.scale);
    }
  }

  private wantedLevel(pyramid: Pyramid): number {
    const needed = this.scale * (window.devicePixelRatio || 1) * this.size[0];
    const found = pyramid.levels.findIndex(([width]) => width >= needed * 0.95);
    return found < 0 ? pyramid.levels.length - 1 : found;
  }

  private wanted(): [number, number, number, string][] {
    const pyramid = this.pyramid;
    if (!pyramid) return [];
    const level = this.wantedLevel(pyramid);
    const [wide, high] = pyramid.levels[level] as readonly [number, number];
    const per = this.size[0] / wide;
    const corners = [this.pageAt(0, 0), this.pageAt(this.canvas.clientWidth, this.canvas.clientHeight)];
    const range = (axis: 0 | 1, size: number): [number, number] => {
      const ends = corners.map((corner) => corner[axis] / per / pyramid.tile);
      return [Math.max(0, Math.floor(Math.min(...ends))), Math.min(Math.ceil(size / pyramid.tile) - 1, Math.floor(Math.max(...ends)))];
    };
    const [left, right] = range(0, wide);
    const [upper, lower] = range(1, high);
    const found: [number, number, number, string][] = [];
    for (let y = upper; y <= lower; y += 1) for (let x = left; x <= right; x += 1) found.push([level, x, y, `${level}/${x}_${y}`]);
    return found;
  }

  private tile(name: string): HTMLImageElement {
    const held = this.tiles.get(name);
    if (held) return held;
    const tile = new Image();
    tile.decoding = "async";
    tile.addEventListener("load", () => { if (this.tiles.get(name) === tile) this.draw(); });
    tile.src = `${this.address}/${name}`;
    this.tiles.set(name, tile);
    for (const old of this.tiles.keys()) {
      if (this.tiles.size <= HELD) break;
      this.tiles.delete(old);
    }
    return tile;
  }
}
