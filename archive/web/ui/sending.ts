// One file on its way, and the queue that sends a few of them at once: digest first, then tus, then the number.
//
// Invariants: one file's refusal stops no other; what was sent is not sent again, because the address of an upload is kept until it
// has ended and the archive says where it stands; nothing is said to be taken in before the archive gave its number.

import { type DetailedError, Upload } from "tus-js-client";
import { Hasher } from "./hashing";
import type { Kept } from "./kept";

export type State =
  | "staged" | "queued" | "hashing" | "sending" | "waiting" | "paused"
  | "stored" | "verified" | "flawed" | "refused" | "broken" | "cancelled";

export interface Intent {
  readonly recorder?: string;
  readonly case?: string;
  readonly stage?: string;
}

export interface Leaf {
  readonly document: string;
  readonly page: number;
  readonly pages: number;
  readonly title: string;
}

export interface Refusal {
  readonly code: string;
  readonly facts: Readonly<Record<string, string | number>>;
}

export class Transfer {
  state: State = "staged";
  intent: Intent = {};
  leaf: Leaf | undefined;
  digest: string | undefined;
  number: string | undefined;
  same: string | undefined;
  refusal: Refusal | undefined;
  hashed = 0;
  sent = 0;
  /** Bytes a second, of the last few seconds. */
  speed = 0;
  /** Where this file stood when it was chosen again. */
  resumed = false;
  upload: Upload | undefined;
  private measured = { at: 0, sent: 0 };

  constructor(readonly file: File, readonly path: string) {}

  /** The same file chosen again, on the same way, has the same fingerprint; its content is the digest's to tell. */
  get fingerprint(): string {
    const way = this.leaf ? `${this.leaf.document}/${this.leaf.page}/` : "";
    return `${way}${this.path}|${this.file.size}|${this.file.lastModified}`;
  }

  get over(): boolean {
    return ["stored", "verified", "flawed", "refused", "cancelled"].includes(this.state);
  }

  get busy(): boolean {
    return ["queued", "hashing", "sending", "waiting"].includes(this.state);
  }

  progress(sent: number): void {
    const now = performance.now();
    this.sent = sent;
    if (this.measured.at === 0 || sent < this.measured.sent) this.measured = { at: now, sent };
    const seconds = (now - this.measured.at) / 1000;
    if (seconds < 0.5) return;
    const fresh = (sent - this.measured.sent) / seconds;
    this.speed = this.speed === 0 ? fresh : this.speed * 0.6 + fresh * 0.4;
    this.measured = { at: now, sent };
  }

  still(): void {
    this.speed = 0;
    this.measured = { at: 0, sent: 0 };
  }
}

interface Problem {
  readonly code?: string;
  readonly again?: boolean;
  readonly facts?: Record<string, string | number>;
}

/** Thrown for an answer to HEAD that tus-js-client would take for a reason to send everything anew. */
class Unhelpful extends Error {
  constructor(readonly status: number) {
    super(String(status));
  }
}

/** Seconds apart; a line that is down comes back within the half hour that these make, or the person is told. */
const DELAYS = [300, 700, 1500, 3000, 5000, ...Array<number>(180).fill(10_000)];
const GONE = [404, 410];
/** Refusals that asking again mends: the offset is asked for first, and where nothing is left of what was sent, it begins anew. */
const AGAIN = ["offset_conflict", "upload_busy", "body_stalled", "host_gone"];
const AHEAD = 4;

function problem(body: string): Problem {
  try {
    return JSON.parse(body) as Problem;
  } catch {
    return {};
  }
}

function answer(error: DetailedError | Error): { status: number; problem: Problem } {
  if (!("originalResponse" in error)) return { status: 0, problem: {} };
  const { originalResponse: response, causingError: cause } = error;
  if (response) return { status: response.getStatus(), problem: problem(response.getBody()) };
  return { status: cause instanceof Unhelpful ? cause.status : 0, problem: {} };
}

export interface Ways {
  readonly endpoint: string;
  readonly chunk: number;
  readonly atOnce: number;
  readonly limit: number;
}

export class Sender {
  private readonly hasher = new Hasher();
  private readonly line: Transfer[] = [];
  private hashing = false;
  private halted = false;

  constructor(private readonly ways: Ways, private readonly kept: Kept, private readonly changed: (transfer: Transfer) => void) {}

  get paused(): boolean {
    return this.halted;
  }

  /** Put a file in line; what was begun earlier goes on with what the archive was told then. */
  send(transfer: Transfer): void {
    transfer.refusal = undefined;
    if (transfer.file.size > this.ways.limit) {
      this.refuse(transfer, { code: "upload_too_large", facts: { length: transfer.file.size, maximum: this.ways.limit } });
      return;
    }
    const before = this.kept.upload(transfer.fingerprint);
    const declared = before?.metadata["sha256"];
    if (before && declared) {
      transfer.digest = declared;
      transfer.resumed = true;
    }
    this.set(transfer, "queued");
    if (!this.line.includes(transfer)) this.line.push(transfer);
    this.pump();
  }

  pause(): void {
    this.halted = true;
    for (const transfer of this.line) {
      if (transfer.state !== "sending" && transfer.state !== "waiting" && transfer.state !== "queued") continue;
      void transfer.upload?.abort();
      this.set(transfer, "paused");
    }
  }

  goOn(): void {
    this.halted = false;
    for (const transfer of this.line) if (transfer.state === "paused") this.set(transfer, "queued");
    this.pump();
  }

  /** End one for good; the archive drops what came of it. */
  async cancel(transfer: Transfer): Promise<void> {
    const kept = this.kept.upload(transfer.fingerprint);
    this.leave(transfer, "cancelled");
    this.kept.forget(transfer.fingerprint);
    try {
      if (transfer.upload?.url) await transfer.upload.abort(true);
      else if (kept?.uploadUrl) await Upload.terminate(kept.uploadUrl);
      else await transfer.upload?.abort();
    } catch { /* not reached, or ended already: it expires by itself */ }
    transfer.upload = undefined;
  }

  private pump(): void {
    if (this.halted) return;
    const sending = this.line.filter((one) => one.state === "sending" || one.state === "waiting").length;
    const ready = this.line.filter((one) => one.state === "queued" && one.digest !== undefined);
    for (const transfer of ready.slice(0, Math.max(0, this.ways.atOnce - sending))) this.begin(transfer);
    const bare = this.line.find((one) => one.state === "queued" && one.digest === undefined);
    if (bare && !this.hashing && ready.length < AHEAD) void this.hash(bare);
  }

  private async hash(transfer: Transfer): Promise<void> {
    this.hashing = true;
    this.set(transfer, "hashing");
    const digest = await this.hasher.digest(transfer.file, (done) => { transfer.hashed = done; this.changed(transfer); });
    this.hashing = false;
    if (transfer.state === "hashing") {
      if (digest === undefined) {
        this.refuse(transfer, { code: "file_unreadable", facts: {} });
        return;
      }
      transfer.digest = digest;
      this.set(transfer, this.halted ? "paused" : "queued");
    }
    this.pump();
  }

  private begin(transfer: Transfer): void {
    const upload = transfer.upload ?? this.made(transfer);
    transfer.upload = upload;
    const before = this.kept.upload(transfer.fingerprint);
    if (before && upload.url === null) upload.resumeFromPreviousUpload(before);
    transfer.still();
    this.set(transfer, "sending");
    upload.start();
  }

  private made(transfer: Transfer): Upload {
    const { file, intent, leaf } = transfer;
    const metadata: Record<string, string> = { filename: file.name, sha256: transfer.digest ?? "" };
    for (const [key, value] of Object.entries({ ...intent, ...leaf })) if (value !== undefined && value !== "") metadata[key] = String(value);
    return new Upload(file, {
      endpoint: this.ways.endpoint,
      chunkSize: this.ways.chunk,
      metadata,
      retryDelays: DELAYS,
      urlStorage: this.kept,
      fingerprint: () => Promise.resolve(transfer.fingerprint),
      removeFingerprintOnSuccess: true,
      onShouldRetry: (error) => this.again(transfer, error),
      onAfterResponse: (request, response) => {
        const status = response.getStatus();
        // tus-js-client sends everything anew when HEAD is answered with anything but success: right only for an upload that is gone.
        if (request.getMethod() === "HEAD" && (status < 200 || status >= 300) && !GONE.includes(status)) throw new Unhelpful(status);
        transfer.number = response.getHeader("Liuhen-Number") ?? transfer.number;
        transfer.same = response.getHeader("Liuhen-Same-Bytes-As") ?? transfer.same;
      },
      onProgress: (sent) => {
        transfer.progress(sent);
        if (transfer.state === "waiting") transfer.state = "sending";
        this.changed(transfer);
      },
      onError: (error) => this.failed(transfer, error),
      onSuccess: () => { void this.done(transfer); },
    });
  }

  private again(transfer: Transfer, error: DetailedError): boolean {
    const { status, problem: told } = answer(error);
    const worth = status === 0 || told.again === true || AGAIN.includes(told.code ?? "") || (status >= 502 && told.code === undefined);
    if (worth) {
      transfer.still();
      this.set(transfer, "waiting");
      if (status === 0) void this.probe(transfer);
    }
    return worth;
  }

  /** A file that was changed or taken away fails exactly as a broken line does; only reading it tells them apart. */
  private async probe(transfer: Transfer): Promise<void> {
    try {
      await transfer.file.slice(0, 1).arrayBuffer();
    } catch {
      await transfer.upload?.abort();
      this.refuse(transfer, { code: "file_unreadable", facts: {} });
    }
  }

  private failed(transfer: Transfer, error: DetailedError | Error): void {
    const { status, problem: told } = answer(error);
    if (status === 401) {
      this.leave(transfer, "broken", { code: "sign_in_required", facts: {} });
    } else if (status === 0 || told.code === "upload_taken_over" || told.code === undefined) {
      this.leave(transfer, "broken", { code: told.code ?? "unavailable", facts: told.facts ?? {} });
    } else {
      this.refuse(transfer, { code: told.code, facts: told.facts ?? {} });
    }
  }

  private refuse(transfer: Transfer, refusal: Refusal): void {
    this.kept.forget(transfer.fingerprint);
    transfer.digest = undefined; // the file may be another by the time somebody tries again
    transfer.upload = undefined;
    this.leave(transfer, "refused", refusal);
  }

  private async done(transfer: Transfer): Promise<void> {
    if (transfer.number === undefined) {
      transfer.number = await this.asked(transfer.upload?.url ?? "");
    }
    transfer.sent = transfer.file.size;
    transfer.upload = undefined;
    this.leave(transfer, "stored");
  }

  /** The answer to the last byte was lost on the way; the archive says again what became of it. */
  private async asked(url: string): Promise<string | undefined> {
    for (const delay of DELAYS.slice(0, 30)) {
      const said = await fetch(url, { headers: { Accept: "application/json" } }).catch(() => undefined);
      if (said?.ok) return ((await said.json()) as { number?: string }).number;
      await new Promise((pass) => window.setTimeout(pass, delay));
    }
    return undefined;
  }

  private leave(transfer: Transfer, state: State, refusal?: Refusal): void {
    const place = this.line.indexOf(transfer);
    if (place >= 0) this.line.splice(place, 1);
    transfer.refusal = refusal;
    transfer.still();
    this.set(transfer, state);
    this.pump();
  }

  private set(transfer: Transfer, state: State): void {
    transfer.state = state;
    this.changed(transfer);
  }
}
