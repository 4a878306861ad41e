// <lh-player>: a recording with what a reviewer needs around it, all on one scale of time: pictures, sound, playhead. A recording that is one
// file of a run (data-run) has the whole run on that scale and plays on from file to file.
//
// The server renders <lh-player data-…><video controls></video></lh-player>: without scripts the browser's own controls
// remain. Attributes: data-sources [{label,url}] in the order to try them, data-storyboard-vtt, data-storyboard, data-waveform, data-poster
// (addresses; they may appear later, when a job has made them), data-duration-us, data-started-us, data-offset-us, data-zone,
// data-rate "30000/1001", data-at (second of this file to begin at), data-run (run.ts), data-number.
//
// Nothing of a recording is asked for until it is played or sought in: the archive writes a replay down with the first byte it sends.

import { mediaTime, shortTime, wallClock } from "./clock";
import { Deck } from "./deck";
import { h, icon, iconButton, keysDialog } from "./dom";
import { type Details, Files } from "./files";
import { meant, playerKeys } from "./keys";
import { Rail } from "./rail";
import { Line, type RunData } from "./run";
import { Shuttle } from "./shuttle";
import { word } from "./words";
import { Address } from "./address";

const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 4, 8] as const;
const DETAILS = ["storyboard", "storyboard-vtt", "waveform", "poster", "rate", "disturbances"] as const;

export class Player extends HTMLElement {
  static observedAttributes = ["data-storyboard", "data-storyboard-vtt", "data-waveform", "data-sources", "data-poster"];

  private line!: Line;
  private files!: Files;
  private deck!: Deck;
  private rail!: Rail;
  private shuttle!: Shuttle;
  private address: Address | undefined;
  private own = 0;
  private built = false;
  private touched = false;
  private readonly leave = new AbortController();

  private readonly stage = h("div", { class: "lhp-stage" });
  private readonly stamp = h("div", { class: "lhp-stamp", "aria-hidden": "true" });
  private readonly ownClock = h("div", { class: "lhp-own-clock", "aria-hidden": "true", hidden: true });
  private readonly message = h("div", { class: "lhp-message", role: "status", hidden: true });
  private readonly playButton = iconButton("play", "", () => this.toggle(), "lhp-button lhp-play");
  private readonly time = h("output", { class: "lhp-time" });
  private readonly total = h("span", { class: "lhp-total" });
  private readonly file = h("a", { class: "lhp-of", hidden: true });
  private readonly frame = h("span", { class: "lhp-frame" });
  private readonly speed = h("select", { class: "lhp-select" });
  private readonly choice = h("select", { class: "lhp-select" });
  private keys: HTMLDialogElement | undefined;

  connectedCallback(): void {
    if (this.built) return;
    this.built = true;
    const given = this.querySelector<HTMLVideoElement | HTMLAudioElement>("video, audio") ?? document.createElement("video");
    const on = { signal: this.leave.signal };
    const run = this.dataset["run"] ? (JSON.parse(this.dataset["run"]) as RunData) : undefined;
    this.own = run?.at ?? 0;
    this.line = new Line(run, this.ownFile());
    this.files = new Files(this.line, on.signal, () => this.rail.draw());
    this.files.give(this.own, this.details());
    this.deck = new Deck(this.line, this.files, this.own, given, this.dataset["kind"] ?? "", {
      moved: () => this.show(),
      turned: () => this.turned(),
      say: (sentence) => { this.message.textContent = sentence ?? ""; this.message.hidden = !sentence; },
    }, on.signal);
    this.rail = new Rail(this.line, this.files, this.dataset["zone"], (position) => this.seek(position), on);
    this.shuttle = new Shuttle(this.deck, (rate) => this.setSpeed(rate));
    this.build(given);
    this.listen(given);
    // A panel opens where its timeline was clicked.
    const linked = this.dataset["at"] === undefined ? Address.read(this.line) : undefined;
    this.deck.stand(linked?.index ?? this.own, linked?.second ?? (Number(this.dataset["at"] ?? 0) || 0));
    this.address = new Address(this.deck, this.line);
    void this.files.load(this.own);
  }

  disconnectedCallback(): void {
    this.leave.abort();
    this.shuttle.stop();
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.built || before === after || after === null) return;
    this.files.give(this.own, this.details());
    if (name === "data-sources" && this.deck.index === this.own) this.deck.take(this.details());
    else if (name === "data-poster" && this.deck.video && this.deck.index === this.own) this.deck.video.poster = after;
    else void this.files.load(this.own);
  }

  /** Length of the line in seconds. */
  get duration(): number {
    return this.line.length;
  }

  /** Goes to a second of the line, within its bounds. */
  seek(seconds: number): void {
    this.touched = true;
    this.deck.seek(seconds, seconds < this.deck.at);
  }

  /** Whether a file is on this player's line. */
  has(number: string): boolean {
    return this.line.indexOf(number) >= 0;
  }

  /** Goes to a second of one of its files. */
  seekIn(number: string, second: number): void {
    const index = this.line.indexOf(number);
    if (index < 0) return;
    this.touched = true;
    this.deck.go(index, second);
  }

  /** Plays from where it stands. */
  play(): void {
    this.touched = true;
    this.deck.play();
  }

  /** Plays what stands and stops what plays. */
  toggle(): void {
    this.shuttle.stop();
    if (this.deck.paused) this.play();
    else this.deck.pause();
  }

  private ownFile(): RunData["files"][number] {
    const { number = "", startedUs, durationUs } = this.dataset;
    return { number, href: `/items/${encodeURIComponent(number)}`, start: startedUs ? Number(startedUs) : null, length: durationUs ? Number(durationUs) : null, by: null };
  }

  private details(): Details {
    const data: Record<string, string> = {};
    for (const name of DETAILS) {
      const value = this.getAttribute(`data-${name}`);
      if (value !== null) data[name] = value;
    }
    return { sources: JSON.parse(this.dataset["sources"] ?? "[]") as Details["sources"], data, waiting: true, reason: "" };
  }

  private get frameSeconds(): number {
    const [over, under] = (this.files.now(this.deck.index)?.data["rate"] ?? "").split("/").map(Number);
    return over && under ? under / over : 1 / 30;
  }

  private build(given: HTMLVideoElement | HTMLAudioElement): void {
    given.controls = false;
    given.removeAttribute("controls");
    given.tabIndex = -1;
    const pictures = this.deck.video !== undefined;
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", word("player"));
    if (!this.hasAttribute("tabindex")) this.tabIndex = 0;
    this.classList.add("lhp", ...(pictures ? [] : ["lhp-audio"]));
    this.stage.append(given, this.stamp, this.ownClock, this.message);
    for (const rate of SPEEDS) this.speed.append(h("option", { value: rate, selected: rate === 1 }, `${rate}×`));
    this.speed.setAttribute("aria-label", word("speed"));
    this.speed.title = word("speed");
    this.choice.setAttribute("aria-label", word("source"));
    this.choice.title = word("source");
    const steps = pictures
      ? [iconButton("back", `${word("frame_back")} ( , )`, () => void this.step(-1), "lhp-button"), iconButton("forward", `${word("frame_forward")} ( . )`, () => void this.step(1), "lhp-button")]
      : [];
    const mute = iconButton("volume", word("mute"), () => {
      const muted = this.deck.mute();
      mute.replaceChildren(icon(muted ? "muted" : "volume"));
      mute.setAttribute("aria-pressed", String(muted));
    }, "lhp-button");
    const full = pictures ? [iconButton("full", `${word("full_screen")} ( F )`, () => void this.fullScreen(), "lhp-button")] : [];
    const turns = this.line.joined
      ? [iconButton("left", `${word("file_back")} ( PageUp )`, () => this.turn(-1), "lhp-button"), this.file, iconButton("right", `${word("file_forward")} ( PageDown )`, () => this.turn(1), "lhp-button")]
      : [];
    const help = h("button", { type: "button", class: "lhp-button lhp-help", "aria-label": word("keys"), title: `${word("keys")} ( ? )` }, "?");
    help.addEventListener("click", () => this.showKeys());
    const clock = h("span", { class: "lhp-clock" }, this.time, this.total);
    this.append(this.stage, this.rail.element, h("div", { class: "lhp-bar" }, this.playButton, ...steps, clock, this.frame, ...turns, h("span", { class: "lhp-space" }), this.speed, this.choice, mute, ...full, help));
  }

  private listen(given: HTMLVideoElement | HTMLAudioElement): void {
    const on = { signal: this.leave.signal };
    this.stage.addEventListener("click", (event) => { if (event.target instanceof HTMLMediaElement) this.toggle(); }, on);
    given.addEventListener("play", () => { this.touched = true; }, on);
    this.speed.addEventListener("change", () => this.deck.setRate(Number(this.speed.value)), on);
    this.choice.addEventListener("change", () => this.deck.use(Number(this.choice.value)), on);
    // Before the page's own keys (J and K walk lists) and the timeline's.
    document.addEventListener("keydown", (event) => { if (meant(event, this, this.keys?.open ?? false)) this.press(event); }, { ...on, capture: true });
    window.addEventListener("hashchange", () => {
      const linked = Address.read(this.line);
      if (linked && !this.address?.mine()) this.deck.go(linked.index, linked.second);
    }, on);
  }

  private async step(direction: -1 | 1): Promise<void> {
    this.shuttle.stop();
    await this.deck.step(direction, this.frameSeconds);
  }

  /** The beginning of this file, or of its neighbour. */
  private turn(direction: -1 | 1): void {
    // Like a record player: the first press back goes to where this file begins.
    const back = direction < 0 && this.deck.second > BEGUN_S ? 0 : direction;
    const index = Math.min(this.line.files.length - 1, Math.max(0, this.deck.index + back));
    if (index === this.deck.index && back > 0) return;
    this.touched = true;
    this.deck.go(index, 0);
  }

  private async fullScreen(): Promise<void> {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.requestFullscreen();
  }

  private setSpeed(rate: number): void {
    this.deck.setRate(rate);
    this.speed.value = String(rate);
  }

  private gear(direction: -1 | 1): void {
    const at = SPEEDS.findIndex((rate) => rate >= this.deck.rate);
    this.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at + direction))] ?? 1);
  }

  /** Keys pressed in the player, and those pressed nowhere in particular on a page that is about one recording. */
  private press(event: KeyboardEvent): void {
    if (event.target instanceof HTMLButtonElement && (event.key === " " || event.key === "Enter")) return;
    const at = this.deck.at;
    const far = event.shiftKey ? 1 : 5;
    const acts: Record<string, () => void> = {
      " ": () => this.toggle(),
      k: () => { this.shuttle.stop(); this.setSpeed(1); this.deck.pause(); },
      j: () => this.shuttle.shift(-1),
      l: () => this.shuttle.shift(1),
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
      ...(this.line.joined ? { PageUp: () => this.turn(-1), PageDown: () => this.turn(1) } : {}),
    };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  private showKeys(): void {
    if (!this.keys) {
      this.keys = keysDialog(word("keys"), word("close"), playerKeys(this.line.joined));
      this.append(this.keys);
    }
    this.keys.showModal();
  }

  /** Another file or another source is on show. */
  private turned(): void {
    const { index, sources, current } = this.deck;
    this.choice.replaceChildren(...sources.map((source, each) => h("option", { value: each, selected: each === current }, source.label)));
    this.choice.hidden = sources.length < 1;
    this.choice.disabled = sources.length < 2;
    const file = this.line.files[index];
    if (this.line.joined && file) {
      this.file.hidden = false;
      this.file.href = file.href;
      this.file.title = file.number;
      this.file.textContent = word("file_of", { number: index + 1, count: this.line.files.length });
    }
    if (this.touched) void this.files.load(index);
    this.rail.draw();
    this.show();
  }

  private show(): void {
    const { deck } = this;
    const second = deck.paused ? (deck.frameTime ?? deck.second) : deck.second;
    const position = this.line.position(deck.index, second);
    this.time.textContent = mediaTime(position);
    // Of a whole run, thousandths would be noise.
    this.total.textContent = ` / ${this.line.joined ? shortTime(this.duration) : mediaTime(this.duration)}`;
    this.showClock(second);
    const rate = this.files.now(deck.index)?.data["rate"];
    this.frame.textContent = rate && deck.video ? word("frame", { number: Math.round((deck.frameTime ?? deck.second) / this.frameSeconds).toLocaleString("en-US") }) : "";
    this.rail.show(position, deck.index, deck.played, deck.buffered, `${mediaTime(position)} / ${mediaTime(this.duration)}`);
    const label = word(deck.paused ? "play" : "pause");
    if (this.playButton.getAttribute("aria-label") !== label) {
      this.playButton.replaceChildren(icon(deck.paused ? "play" : "pause"));
      this.playButton.setAttribute("aria-label", label);
      this.playButton.title = `${label} ( ${word("space_key")} )`;
    }
    if (this.touched) this.address?.follow();
    const file = this.line.files[deck.index];
    if (file?.number) this.dispatchEvent(new CustomEvent("lh-time", { bubbles: true, detail: { id: file.number, second, place: deck.index + 1, href: file.href } }));
  }

  /** The corrected clock beside the picture, the recorder's own where they differ; before a frame is on screen, when the file begins. */
  private showClock(second: number): void {
    const start = this.line.files[this.deck.index]?.start;
    const { zone, offsetUs } = this.dataset;
    const us = start == null || !zone ? undefined : start + Math.round(second * 1e6);
    const framed = this.deck.frameTime !== undefined || this.deck.second > 0 || !this.deck.video;
    const said = us === undefined || !zone ? "" : wallClock(us, zone);
    this.stamp.textContent = said && (framed ? said : word("starts", { time: said }));
    const unverified = us !== undefined && offsetUs === undefined;
    if (unverified) this.stamp.textContent += `  ${word("clock_unverified")}`;
    this.stamp.classList.toggle("lhp-unverified", unverified);
    const off = Number(offsetUs ?? 0);
    this.ownClock.hidden = us === undefined || !zone || off === 0;
    if (us !== undefined && zone && off !== 0) this.ownClock.textContent = word("recorder_clock", { time: wallClock(us - off, zone).slice(11) });
  }
}

const BEGUN_S = 2;

customElements.define("lh-player", Player);
