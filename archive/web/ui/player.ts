// <lh-player>: a recording with what a reviewer needs around it, all on one scale of time: pictures, sound, playhead.
//
// The server renders <lh-player data-…><video controls></video></lh-player>: without scripts the browser's own controls
// remain. Attributes: data-sources [{label,url}] in the order to try them, data-storyboard-vtt, data-storyboard, data-waveform (addresses; they may
// appear later, when a job has made them), data-duration-us, data-started-us, data-offset-us, data-zone, data-rate "30000/1001",
// data-at (seconds to begin at), data-download.
//
// Nothing of a recording is asked for until it is played or sought in: the archive writes a replay down with the first byte it sends.

import { mediaTime, shortTime, wallAt } from "./clock";
import { refusal, type Source } from "./delivery";
import { drawRanges, h, icon, iconButton, keysDialog } from "./dom";
import { stepFrame } from "./frames";
import { meant, playerKeys } from "./keys";
import { drawStrip, drawTile, loadBoard, type Tile, tileAt } from "./storyboard";
import { drawWave, loadPeaks, type Peaks, type Silence, silences } from "./waveform";
import { word } from "./words";

const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 4, 8] as const;
const SHUTTLE_TICK_MS = 125;

export class Player extends HTMLElement {
  static observedAttributes = ["data-storyboard", "data-storyboard-vtt", "data-waveform", "data-sources"];

  private media: HTMLVideoElement | HTMLAudioElement = document.createElement("video");
  private sources: readonly Source[] = [];
  private current = 0;
  private board: readonly Tile[] = [];
  private sprite: HTMLImageElement | undefined;
  private peaks: Peaks | undefined;
  private quiet: readonly Silence[] = [];
  private frameTime: number | undefined;
  /** The second to be at once the media is loaded; until then it is where the player stands. */
  private wanted: number | undefined;
  private stepping = false;
  private shuttle = 0;
  private shuttleTimer = 0;
  private built = false;
  private readonly leave = new AbortController();

  private readonly stage = h("div", { class: "lhp-stage" });
  private readonly stamp = h("div", { class: "lhp-stamp", "aria-hidden": "true" });
  private readonly message = h("div", { class: "lhp-message", role: "status", hidden: true });
  private readonly rail = h("div", { class: "lhp-rail" });
  private readonly scrub = h("div", { class: "lhp-scrub", role: "slider", tabindex: 0, "aria-orientation": "horizontal" });
  private readonly buffered = h("div", { class: "lhp-buffered" });
  private readonly played = h("div", { class: "lhp-played" });
  private readonly strip = h("canvas", { class: "lhp-strip", hidden: true });
  private readonly wave = h("canvas", { class: "lhp-wave", hidden: true });
  private readonly seen = h("div", { class: "lhp-seen" });
  private readonly head = h("div", { class: "lhp-head" });
  private readonly preview = h("div", { class: "lhp-preview", hidden: true });
  private readonly previewPicture = h("canvas");
  private readonly previewText = h("div", { class: "lhp-preview-text" });
  private readonly playButton = iconButton("play", "", () => this.toggle(), "lhp-button lhp-play");
  private readonly time = h("output", { class: "lhp-time" });
  private readonly total = h("span", { class: "lhp-total" });
  private readonly frame = h("span", { class: "lhp-frame" });
  private readonly speed = h("select", { class: "lhp-select" });
  private readonly choice = h("select", { class: "lhp-select" });
  private keys: HTMLDialogElement | undefined;

  connectedCallback(): void {
    if (this.built) return;
    this.built = true;
    const given = this.querySelector<HTMLVideoElement | HTMLAudioElement>("video, audio");
    if (given) this.media = given;
    this.media.preload = "none";
    this.wanted = Number(this.dataset["at"] ?? 0) || undefined;
    this.build();
    this.readSources();
    this.listen();
    void this.loadBoard();
    void this.loadWave();
  }

  disconnectedCallback(): void {
    this.leave.abort();
    window.clearInterval(this.shuttleTimer);
    this.media.pause();
    this.media.removeAttribute("src");
    this.media.load();
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.built || before === after || after === null) return;
    if (name.startsWith("data-storyboard")) void this.loadBoard();
    else if (name === "data-waveform") void this.loadWave();
    else this.readSources();
  }

  /** Length in seconds: the file's own once the browser knows it, what the archive measured until then. */
  get duration(): number {
    const known = this.media.duration;
    return Number.isFinite(known) && known > 0 ? known : Number(this.dataset["durationUs"] ?? 0) / 1e6;
  }

  /** Goes to a second of the recording, within its bounds. */
  seek(seconds: number): void {
    this.frameTime = undefined;
    const to = Math.min(Math.max(0, seconds), Math.max(0, this.duration - 0.001));
    if (this.media.readyState > 0) this.media.currentTime = to;
    else {
      this.wanted = to;
      if (this.media.preload === "none") {
        this.media.preload = "metadata";
        this.media.load();
      }
    }
    this.show();
  }

  /** Plays from where it stands. */
  play(): void {
    this.media.preload = "metadata";
    void this.media.play().catch(() => undefined);
  }

  /** Plays what stands and stops what plays. */
  toggle(): void {
    this.stopShuttle();
    if (this.media.paused) this.play();
    else this.media.pause();
  }

  private get at(): number {
    return this.wanted ?? this.media.currentTime;
  }

  private get video(): HTMLVideoElement | undefined {
    return this.media instanceof HTMLVideoElement ? this.media : undefined;
  }

  private get frameSeconds(): number {
    const [over, under] = (this.dataset["rate"] ?? "").split("/").map(Number);
    return over && under ? under / over : 1 / 30;
  }

  private build(): void {
    this.media.controls = false;
    this.media.removeAttribute("controls");
    this.media.tabIndex = -1;
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", word("player"));
    if (!this.hasAttribute("tabindex")) this.tabIndex = 0;
    this.classList.add("lhp", ...(this.video ? [] : ["lhp-audio"]));
    this.scrub.setAttribute("aria-label", word("position"));
    this.wave.setAttribute("role", "img");
    this.wave.setAttribute("aria-label", word("waveform"));
    this.strip.setAttribute("role", "img");
    this.strip.setAttribute("aria-label", word("storyboard"));
    this.preview.append(this.previewPicture, this.previewText);
    this.scrub.append(this.buffered, this.played);
    this.rail.append(this.scrub, this.strip, this.wave, this.seen, this.head, this.preview);
    this.seen.title = word("watched");
    this.stage.append(this.media, this.stamp, this.message);

    for (const rate of SPEEDS) this.speed.append(h("option", { value: rate, selected: rate === 1 }, `${rate}×`));
    this.speed.setAttribute("aria-label", word("speed"));
    this.speed.title = word("speed");
    this.choice.setAttribute("aria-label", word("source"));
    this.choice.title = word("source");
    const steps = this.video
      ? [iconButton("back", `${word("frame_back")} ( , )`, () => void this.step(-1), "lhp-button"), iconButton("forward", `${word("frame_forward")} ( . )`, () => void this.step(1), "lhp-button")]
      : [];
    const mute = iconButton("volume", word("mute"), () => this.mute(mute), "lhp-button");
    const full = this.video ? [iconButton("full", `${word("full_screen")} ( F )`, () => void this.fullScreen(), "lhp-button")] : [];
    const help = h("button", { type: "button", class: "lhp-button lhp-help", "aria-label": word("keys"), title: `${word("keys")} ( ? )` }, "?");
    help.addEventListener("click", () => this.showKeys());
    const clock = h("span", { class: "lhp-clock" }, this.time, this.total);
    this.append(this.stage, this.rail, h("div", { class: "lhp-bar" }, this.playButton, ...steps, clock, this.frame, h("span", { class: "lhp-space" }), this.speed, this.choice, mute, ...full, help));
    this.show();
  }

  private readSources(): void {
    this.sources = JSON.parse(this.dataset["sources"] ?? "[]") as Source[];
    this.choice.replaceChildren(...this.sources.map((source, index) => h("option", { value: index, selected: index === this.current }, source.label)));
    this.choice.hidden = this.sources.length < 1;
    this.choice.disabled = this.sources.length < 2;
    const now = this.sources[this.current];
    if (now && !this.media.currentSrc.endsWith(now.url) && this.media.readyState === 0) this.media.src = now.url;
    if (!now) this.say(word("nothing_plays"));
    else this.hush();
  }

  private listen(): void {
    const media = this.media;
    const on = { signal: this.leave.signal };
    for (const name of ["timeupdate", "seeked", "durationchange", "play", "pause", "ratechange"]) media.addEventListener(name, () => this.show(), on);
    media.addEventListener("progress", () => drawRanges(this.buffered, media.buffered, this.duration), on);
    media.addEventListener("error", () => void this.fail(), on);
    media.addEventListener("play", () => { media.preload = "metadata"; }, on);
    media.addEventListener("loadedmetadata", () => this.begin(), on);
    media.addEventListener("click", () => this.toggle(), on);
    this.speed.addEventListener("change", () => { media.playbackRate = Number(this.speed.value); }, on);
    this.choice.addEventListener("change", () => this.use(Number(this.choice.value)), on);
    // Before the page's own keys (J and K walk lists) and the timeline's.
    document.addEventListener("keydown", (event) => { if (meant(event, this, this.keys?.open ?? false)) this.press(event); }, { ...on, capture: true });
    this.rail.addEventListener("pointermove", (event) => this.hover(event), on);
    this.rail.addEventListener("pointerleave", () => { this.preview.hidden = true; }, on);
    this.rail.addEventListener("pointerdown", (event) => this.grab(event), on);
    new ResizeObserver(() => this.draw()).observe(this.rail);
    this.watchFrames();
  }

  private begin(): void {
    const video = this.video;
    // A codec the browser cannot decode may still play its sound: a recording without a picture is not being replayed.
    if (video && video.videoWidth === 0 && this.dataset["kind"] === "recording") { this.fallBack(); return; }
    const at = this.wanted ?? 0;
    this.wanted = undefined;
    if (at > 0) this.seek(at);
    this.draw();
  }

  private watchFrames(): void {
    const video = this.video;
    if (!video || !("requestVideoFrameCallback" in video)) return;
    const seen = (_now: number, frame: VideoFrameCallbackMetadata): void => {
      this.frameTime = frame.mediaTime;
      this.show();
      if (!this.leave.signal.aborted) video.requestVideoFrameCallback(seen);
    };
    video.requestVideoFrameCallback(seen);
  }

  private use(index: number): void {
    const source = this.sources[index];
    if (!source) return;
    this.wanted = this.at;
    const playing = !this.media.paused;
    this.current = index;
    this.choice.value = String(index);
    this.media.src = source.url;
    this.media.addEventListener("loadedmetadata", () => {
      this.media.playbackRate = Number(this.speed.value);
      if (playing) void this.media.play().catch(() => undefined);
    }, { once: true, signal: this.leave.signal });
    this.media.load();
  }

  /** What the archive could not deliver is the archive's matter, and not said of the browser. */
  private async fail(): Promise<void> {
    const source = this.sources[this.current];
    if (!source || !this.media.getAttribute("src")) return;
    const flaw = await refusal(source.url, this.leave.signal);
    if (this.leave.signal.aborted || this.sources[this.current]?.url !== source.url) return;
    if (flaw === undefined) { this.fallBack(); return; }
    this.say(word("undelivered", { from: source.label, code: flaw }));
    if (this.current + 1 < this.sources.length) this.use(this.current + 1);
  }

  private fallBack(): void {
    const failed = this.sources[this.current];
    const next = this.current + 1;
    if (!this.media.getAttribute("src")) return;
    if (next < this.sources.length) {
      this.say(word("fell_back", { from: failed?.label ?? "", to: this.sources[next]?.label ?? "" }));
      window.setTimeout(() => this.hush(), 8000);
      this.use(next);
    } else this.say(word("cannot_play"));
  }

  private say(sentence: string): void {
    this.message.textContent = sentence;
    this.message.hidden = false;
  }

  private hush(): void {
    this.message.hidden = true;
  }

  private mute(button: HTMLButtonElement): void {
    this.media.muted = !this.media.muted;
    button.replaceChildren(icon(this.media.muted ? "muted" : "volume"));
    button.setAttribute("aria-pressed", String(this.media.muted));
  }

  private async fullScreen(): Promise<void> {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.requestFullscreen();
  }

  private async step(direction: -1 | 1): Promise<void> {
    const video = this.video;
    if (!video || this.stepping) return;
    this.stopShuttle();
    if (video.readyState === 0) { this.seek(this.at + direction * this.frameSeconds); return; }
    video.pause();
    this.stepping = true;
    try {
      this.frameTime = await stepFrame(video, direction, this.frameTime ?? video.currentTime, this.frameSeconds);
    } finally {
      this.stepping = false;
      this.show();
    }
  }

  /** J and L: each press a gear further; a browser cannot play backwards, so that J seeks back by the clock. */
  private shift(direction: -1 | 1): void {
    const gear = direction * this.shuttle > 0 ? Math.min(3, Math.abs(this.shuttle) + 1) : 1;
    this.stopShuttle();
    this.shuttle = direction * gear;
    const rate = 2 ** (gear - 1);
    if (direction > 0) {
      this.setSpeed(rate);
      this.play();
      return;
    }
    this.media.pause();
    this.shuttleTimer = window.setInterval(() => {
      this.seek(this.at - (rate * SHUTTLE_TICK_MS) / 1000);
      if (this.at <= 0) this.stopShuttle();
    }, SHUTTLE_TICK_MS);
  }

  private stopShuttle(): void {
    window.clearInterval(this.shuttleTimer);
    this.shuttle = 0;
  }

  private setSpeed(rate: number): void {
    this.media.playbackRate = rate;
    this.speed.value = String(rate);
  }

  private gear(direction: -1 | 1): void {
    const at = SPEEDS.findIndex((rate) => rate >= this.media.playbackRate);
    this.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at + direction))] ?? 1);
  }

  /** Keys pressed in the player, and those pressed nowhere in particular on a page that is about one recording. */
  private press(event: KeyboardEvent): void {
    if (event.target instanceof HTMLButtonElement && (event.key === " " || event.key === "Enter")) return;
    const at = this.at;
    const far = event.shiftKey ? 1 : 5;
    const acts: Record<string, () => void> = {
      " ": () => this.toggle(),
      k: () => { this.stopShuttle(); this.setSpeed(1); this.media.pause(); },
      j: () => this.shift(-1),
      l: () => this.shift(1),
      ",": () => void this.step(-1),
      ".": () => void this.step(1),
      ArrowLeft: () => this.seek(at - far),
      ArrowRight: () => this.seek(at + far),
      Home: () => this.seek(0),
      End: () => this.seek(this.duration),
      "[": () => this.gear(-1),
      "]": () => this.gear(1),
      f: () => void this.fullScreen(),
      "?": () => this.showKeys(),
    };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  private showKeys(): void {
    if (!this.keys) {
      this.keys = keysDialog(word("keys"), word("close"), playerKeys());
      this.append(this.keys);
    }
    this.keys.showModal();
  }

  private secondAt(event: PointerEvent): number {
    const box = this.rail.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.duration;
  }

  private hover(event: PointerEvent): void {
    const second = this.secondAt(event);
    const box = this.rail.getBoundingClientRect();
    const tile = this.sprite ? tileAt(this.board, second) : undefined;
    this.previewPicture.hidden = !tile;
    if (tile && this.sprite) drawTile(this.previewPicture, this.sprite, tile);
    const gap = this.quiet.find((one) => one.start <= second && second < one.end);
    const started = wallAt(this.dataset, second);
    this.previewText.textContent = [mediaTime(second), started, gap ? word("silence", { length: shortTime(gap.end - gap.start) }) : undefined].filter(Boolean).join("  ·  ");
    this.preview.hidden = false;
    const half = this.preview.offsetWidth / 2;
    this.preview.style.left = `${Math.min(box.width - half, Math.max(half, event.clientX - box.left))}px`;
  }

  private grab(event: PointerEvent): void {
    if (event.button !== 0) return;
    event.preventDefault();
    this.scrub.focus({ preventScroll: true });
    this.rail.setPointerCapture(event.pointerId);
    const move = (moved: PointerEvent): void => this.seek(this.secondAt(moved));
    move(event);
    this.rail.addEventListener("pointermove", move);
    this.rail.addEventListener("pointerup", () => this.rail.removeEventListener("pointermove", move), { once: true });
  }

  private show(): void {
    const at = this.at;
    const duration = this.duration;
    const fraction = duration > 0 ? Math.min(1, at / duration) : 0;
    const shown = this.media.paused ? (this.frameTime ?? at) : at;
    this.time.textContent = mediaTime(shown);
    this.total.textContent = ` / ${mediaTime(duration)}`;
    this.stamp.textContent = wallAt(this.dataset, shown) ?? "";
    const unverified = this.dataset["startedUs"] && this.dataset["offsetUs"] === undefined;
    if (unverified) this.stamp.textContent += `  ${word("clock_unverified")}`;
    this.stamp.classList.toggle("lhp-unverified", Boolean(unverified));
    this.frame.textContent = this.dataset["rate"] && this.video ? word("frame", { number: Math.round((this.frameTime ?? at) / this.frameSeconds).toLocaleString("en-US") }) : "";
    this.played.style.width = `${fraction * 100}%`;
    this.head.style.left = `${fraction * 100}%`;
    this.scrub.setAttribute("aria-valuemin", "0");
    this.scrub.setAttribute("aria-valuemax", String(Math.round(duration)));
    this.scrub.setAttribute("aria-valuenow", String(Math.round(at)));
    this.scrub.setAttribute("aria-valuetext", `${mediaTime(shown)} / ${mediaTime(duration)}`);
    const label = word(this.media.paused ? "play" : "pause");
    if (this.playButton.getAttribute("aria-label") !== label) {
      this.playButton.replaceChildren(icon(this.media.paused ? "play" : "pause"));
      this.playButton.setAttribute("aria-label", label);
      this.playButton.title = `${label} ( ${word("space_key")} )`;
    }
    drawRanges(this.seen, this.media.played, this.duration);
    if (this.dataset["number"]) this.dispatchEvent(new CustomEvent("lh-time", { bubbles: true, detail: { id: this.dataset["number"], second: shown } }));
  }

  private draw(): void {
    if (this.sprite && this.board.length > 0) drawStrip(this.strip, this.sprite, this.board, this.duration);
    if (this.peaks) drawWave(this.wave, this.peaks, this.quiet, this.duration);
  }

  private async loadBoard(): Promise<void> {
    const board = await loadBoard(this.dataset["storyboardVtt"], this.dataset["storyboard"], this.leave.signal);
    if (!board) return;
    [this.board, this.sprite] = board;
    this.strip.hidden = false;
    this.draw();
  }

  private async loadWave(): Promise<void> {
    const peaks = await loadPeaks(this.dataset["waveform"], this.leave.signal);
    if (!peaks) return;
    this.peaks = peaks;
    this.quiet = silences(peaks);
    this.wave.hidden = false;
    this.draw();
  }
}

customElements.define("lh-player", Player);
