// Digests computed before anything is sent, one file at a time, so that the archive can refuse what changed on the way.

import type { Asked, Told } from "./hash.worker";

interface Waiting {
  readonly progress: (done: number) => void;
  readonly settle: (digest: string | undefined) => void;
}

export class Hasher {
  private worker: Worker | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private last = 0;

  /** The SHA-256 of a file in hexadecimal digits; nothing if the file cannot be read. */
  digest(file: Blob, progress: (done: number) => void): Promise<string | undefined> {
    this.last += 1;
    const asked: Asked = { id: this.last, file };
    return new Promise((settle) => {
      this.waiting.set(asked.id, { progress, settle });
      this.started().postMessage(asked);
    });
  }

  private started(): Worker {
    if (this.worker) return this.worker;
    this.worker = new Worker(new URL("./hash.worker.ts", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", (event: MessageEvent<Told>) => this.hear(event.data));
    return this.worker;
  }

  private hear(told: Told): void {
    const one = this.waiting.get(told.id);
    if (!one) return;
    if (told.digest === undefined && !told.failed) {
      one.progress(told.done);
      return;
    }
    this.waiting.delete(told.id);
    one.settle(told.digest);
  }
}
