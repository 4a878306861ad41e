// What plays: the file on show in one media element and, when it comes near its end, the next file of the run waiting in another, so that
// playback goes on over the join without a pause. Positions are seconds on the line (run.ts).
//
// Nothing of a recording is asked for until it is played or sought in. The next file is asked for AHEAD_S before it is due, with `?ahead`
// (delivery.ts), and announced when it is shown; a file that was fetched ahead and never shown stays «sent ahead».

import { aheadOf, announce, refusal, type Source } from "./delivery";
import { h } from "./dom";
import type { Details, Files } from "./files";
import { stepFrame } from "./frames";
import type { Line } from "./run";
import { word } from "./words";

export type Media = HTMLVideoElement | HTMLAudioElement;
export type Stretch = readonly [start: number, end: number];

/** Seconds of playing before a join at which the next file is fetched: enough for a slow line to bring its index and first picture. */
const AHEAD_S = 12;
const EPSILON = 0.001;

/** What a deck tells whoever shows it. */
export interface Shows {
  /** Time, state or length changed. */
  moved(): void;
  /** Another file or other sources are on show. */
  turned(): void;
  say(sentence: string | undefined): void;
}

export class Deck {
  media: Media;
  index: number;
  sources: readonly Source[] = [];
  current = 0;
  rate = 1;
  /** The PTS in seconds of the frame on screen. */
  frameTime: number | undefined;
  /** How long the last join took in milliseconds, from the end of one file to the first frame of the next. */
  lastJoin: number | undefined;
  private spare: Media | undefined;
  private ahead: { readonly index: number; readonly details: Details } | undefined;
  private looking = -1;
  private wanted: number | undefined;
  private meant = false;
  private stepping = false;
  private endedAt = 0;
  /** The file that the element on show holds; while another is being fetched it is not the one that was asked for. */
  private held: number;
  private readonly seen = new Map<number, Stretch[]>();
  private readonly line: Line;
  private readonly files: Files;
  private readonly shows: Shows;
  private readonly signal: AbortSignal;
  private readonly kind: string;

  constructor(line: Line, files: Files, index: number, given: Media, kind: string, shows: Shows, signal: AbortSignal) {
    this.line = line;
    this.files = files;
    this.index = index;
    this.held = index;
    this.media = given;
    this.kind = kind;
    this.shows = shows;
    this.signal = signal;
    this.media.preload = "none";
    this.listen(given);
    signal.addEventListener("abort", () => {
      for (const each of [this.media, this.spare]) if (each) unload(each);
    });
  }

  get video(): HTMLVideoElement | undefined {
    return this.media instanceof HTMLVideoElement ? this.media : undefined;
  }

  /** The second of the file on show. */
  get second(): number {
    return this.wanted ?? this.media.currentTime;
  }

  /** Where it stands on the line. */
  get at(): number {
    return this.line.position(this.index, this.second);
  }

  get paused(): boolean {
    return this.media.paused && !this.meant;
  }

  /** How long the file on show is: as the browser finds it once it is loaded. */
  get lasts(): number {
    const known = this.media.duration;
    return Number.isFinite(known) && known > 0 ? known : this.line.lasts(this.index);
  }

  /** What has been played of each file since the page was opened, as stretches of the line. */
  get played(): Stretch[] {
    const all = [...this.seen].flatMap(([index, stretches]) => stretches.map((one) => this.onLine(index, one)));
    return [...all, ...ranges(this.media.played).map((one) => this.onLine(this.held, one))];
  }

  get buffered(): Stretch[] {
    return ranges(this.media.buffered).map((one) => this.onLine(this.held, one));
  }

  private onLine(index: number, [start, end]: Stretch): Stretch {
    return [this.line.position(index, start), this.line.position(index, end)];
  }

  /** Stands at a second of a file without asking for anything. */
  stand(index: number, second: number): void {
    this.index = index;
    this.held = index;
    this.wanted = second || undefined;
    const details = this.files.now(index);
    if (details) this.take(details);
    else this.sources = [];
    this.shows.turned();
  }

  /** Takes up how the file on show plays, at the start or when something was made meanwhile. */
  take(details: Details): void {
    this.sources = details.sources;
    const now = this.sources[this.current];
    if (now && !this.media.currentSrc.endsWith(now.url) && this.media.readyState === 0) this.media.src = now.url;
    if (!now) this.shows.say(details.waiting ? word("nothing_plays") : details.reason);
    else this.shows.say(undefined);
    this.shows.turned();
  }

  /** Goes to a position, within the line. */
  seek(position: number, backwards = false): void {
    const { index, second } = this.line.place(Math.min(Math.max(0, position), this.line.length), backwards);
    this.go(index, second);
  }

  /** Goes to a second of a file, and plays on if it was playing. */
  go(index: number, second: number): void {
    this.frameTime = undefined;
    if (index !== this.index || this.sources.length === 0) { void this.change(index, second); return; }
    const to = Math.min(Math.max(0, second), Math.max(0, this.lasts - EPSILON));
    if (this.media.readyState > 0) this.media.currentTime = to;
    else {
      this.wanted = to;
      if (this.media.preload === "none") {
        this.media.preload = "metadata";
        this.media.load();
      }
    }
    this.shows.moved();
  }

  play(): void {
    this.meant = true;
    if (this.sources.length === 0) { void this.change(this.index, this.second); return; }
    if (this.media.ended && this.index + 1 < this.line.files.length) { void this.change(this.index + 1, 0); return; }
    this.start();
  }

  pause(): void {
    this.meant = false;
    this.media.pause();
    this.shows.moved();
  }

  setRate(rate: number): void {
    this.rate = rate;
    this.media.playbackRate = rate;
  }

  mute(): boolean {
    this.media.muted = !this.media.muted;
    return this.media.muted;
  }

  /** Plays another source of the file on show. */
  use(index: number): void {
    const source = this.sources[index];
    if (!source) return;
    this.wanted = this.second;
    this.current = index;
    this.media.src = source.url;
    this.media.load();
    this.shows.turned();
    if (this.meant) this.start();
  }

  /** The neighbouring frame, in the neighbouring file where this one has no more. */
  async step(direction: -1 | 1, frameSeconds: number): Promise<void> {
    const video = this.video;
    if (!video || this.stepping) return;
    if (video.readyState === 0) { this.seek(this.at + direction * frameSeconds, direction < 0); return; }
    this.pause();
    this.stepping = true;
    const before = this.frameTime ?? video.currentTime;
    const next = this.index + direction;
    const there = next >= 0 && next < this.line.files.length;
    try {
      if (direction < 0 && before < EPSILON && there) this.go(next, this.line.lasts(next));
      else {
        const after = await stepFrame(video, direction, before, frameSeconds);
        if (direction > 0 && after === before && there) this.go(next, 0);
        else this.frameTime = after;
      }
    } finally {
      this.stepping = false;
      this.shows.moved();
    }
  }

  private start(): void {
    this.media.preload = "metadata";
    this.media.playbackRate = this.rate;
    void this.media.play().catch(() => undefined);
  }

  private listen(media: Media): void {
    const on = { signal: this.signal };
    const shown = (act: () => void) => (): void => { if (media === this.media) act(); };
    for (const name of ["timeupdate", "seeked", "durationchange", "play", "pause", "ratechange", "progress"]) {
      media.addEventListener(name, shown(() => { this.lookAhead(); this.shows.moved(); }), on);
    }
    media.addEventListener("play", shown(() => { this.meant = true; media.preload = "metadata"; }), on);
    // A browser stops by itself too. The end of a file is no stop, and neither is leaving it for another that is being fetched.
    media.addEventListener("pause", shown(() => { if (!media.ended && this.held === this.index) this.meant = false; }), on);
    media.addEventListener("ended", shown(() => this.ended()), on);
    media.addEventListener("error", shown(() => void this.fail()), on);
    media.addEventListener("loadedmetadata", shown(() => this.begin()), on);
    if (media instanceof HTMLVideoElement && "requestVideoFrameCallback" in media) {
      const seen = (now: number, frame: VideoFrameCallbackMetadata): void => {
        if (media === this.media) this.presented(now, frame.mediaTime);
        if (!this.signal.aborted) media.requestVideoFrameCallback(seen);
      };
      media.requestVideoFrameCallback(seen);
    }
  }

  private presented(now: number, mediaTime: number): void {
    this.frameTime = mediaTime;
    if (this.endedAt > 0) {
      this.lastJoin = now - this.endedAt;
      this.endedAt = 0;
    }
    this.shows.moved();
  }

  private begin(): void {
    const video = this.video;
    // A codec the browser cannot decode may still play its sound: a recording without a picture is not being replayed.
    if (video && video.videoWidth === 0 && this.kind === "recording") { this.fallBack(); return; }
    this.line.measured(this.media.duration);
    const at = this.wanted ?? 0;
    this.wanted = undefined;
    if (at > 0) this.go(this.index, at);
    this.shows.turned();
  }

  private ended(): void {
    if (this.index + 1 >= this.line.files.length) { this.meant = false; this.shows.moved(); return; }
    this.endedAt = performance.now();
    this.meant = true;
    void this.change(this.index + 1, 0);
  }

  /** Fetches the next file's ends when the one on show is playing and nearly over. */
  private lookAhead(): void {
    const next = this.index + 1;
    if (this.media.paused || next >= this.line.files.length || this.looking === next) return;
    if ((this.lasts - this.media.currentTime) / this.rate > AHEAD_S) return;
    this.looking = next;
    void this.files.details(next).then((details) => {
      const source = details?.sources[0];
      if (!details || !source || this.looking !== next || this.index !== next - 1 || this.signal.aborted) return;
      const spare = this.other();
      // Its index and first pictures: with «auto» a browser would fetch all it can, and what it was granted would be a replay.
      spare.preload = "metadata";
      spare.src = aheadOf(source.url);
      spare.load();
      this.ahead = { index: next, details };
    });
  }

  /** The element that is not on show. */
  private other(): Media {
    if (!this.spare) {
      this.spare = this.video ? h("video", { playsinline: true, tabindex: -1, class: "lhp-spare" }) : h("audio", { class: "lhp-spare" });
      this.media.after(this.spare);
      this.listen(this.spare);
    }
    return this.spare;
  }

  /** Puts another file on show: the one that waits ahead at once, any other as soon as it is known how it plays. */
  private async change(index: number, second: number): Promise<void> {
    const waiting = this.ahead?.index === index && this.spare && !this.spare.error ? this.ahead : undefined;
    this.index = index;
    this.wanted = second;
    if (this.held !== index) this.media.pause();
    this.current = 0;
    this.ahead = undefined;
    this.looking = -1;
    if (waiting && second === 0) {
      this.swap(waiting.details);
      void announce(waiting.details.sources[0]?.url ?? "").then((heard) => {
        // What cannot be written down as watched is not shown.
        if (!heard && this.index === index && !this.signal.aborted) { this.pause(); this.shows.say(word("undelivered", { from: waiting.details.sources[0]?.label ?? "", code: "unavailable" })); }
      });
      if (this.meant) this.start();
      return;
    }
    this.shows.turned();
    const details = await this.files.details(index);
    if (this.index !== index || this.signal.aborted) return;
    const source = details?.sources[0];
    if (!details || !source) { this.stopBefore(index, details); return; }
    const media = this.other();
    media.src = source.url;
    media.preload = "metadata";
    media.load();
    this.swap(details);
    if (this.meant) this.start();
  }

  private stopBefore(index: number, details: Details | undefined): void {
    this.meant = false;
    if (!this.line.joined) { this.shows.say(details?.waiting === false ? details.reason : word("nothing_plays")); return; }
    this.keepSeen();
    this.sources = [];
    this.held = index;
    unload(this.media);
    const number = index + 1;
    this.shows.say(details && !details.waiting ? word("file_unshown", { number, reason: details.reason }) : word("file_preparing", { number }));
    this.shows.turned();
  }

  /** The spare element comes on show with the file it holds. */
  private swap(details: Details): void {
    const spare = this.other();
    const before = this.media;
    this.keepSeen();
    this.held = this.index;
    this.spare = before;
    this.media = spare;
    spare.classList.remove("lhp-spare");
    before.classList.add("lhp-spare");
    spare.muted = before.muted;
    spare.volume = before.volume;
    spare.playbackRate = this.rate;
    this.frameTime = undefined;
    this.sources = details.sources;
    this.shows.say(undefined);
    if (spare.readyState > 0) this.begin();
    this.shows.turned();
  }

  private keepSeen(): void {
    const now = ranges(this.media.played);
    if (now.length > 0) this.seen.set(this.held, [...(this.seen.get(this.held) ?? []), ...now]);
  }

  /** What the archive could not deliver is the archive's matter, and not said of the browser. */
  private async fail(): Promise<void> {
    const source = this.sources[this.current];
    if (!source || !this.media.getAttribute("src")) return;
    const flaw = await refusal(source.url, this.signal);
    if (this.signal.aborted || this.sources[this.current]?.url !== source.url) return;
    if (flaw === undefined) { this.fallBack(); return; }
    this.shows.say(word("undelivered", { from: source.label, code: flaw }));
    if (this.current + 1 < this.sources.length) this.use(this.current + 1);
  }

  private fallBack(): void {
    const failed = this.sources[this.current];
    const next = this.current + 1;
    if (!this.media.getAttribute("src")) return;
    if (next < this.sources.length) {
      this.shows.say(word("fell_back", { from: failed?.label ?? "", to: this.sources[next]?.label ?? "" }));
      window.setTimeout(() => this.shows.say(undefined), 8000);
      this.use(next);
    } else this.shows.say(word("cannot_play"));
  }
}

function ranges(times: TimeRanges): Stretch[] {
  return Array.from({ length: times.length }, (_, index): Stretch => [times.start(index), times.end(index)]);
}

function unload(media: Media): void {
  media.pause();
  media.removeAttribute("src");
  media.load();
}
