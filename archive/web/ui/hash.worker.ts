// SHA-256 of a file, a piece at a time, beside the page: memory stays at one piece whatever the size of the file.
// In plain JavaScript, because WebAssembly would need a looser content policy for a third more speed (docs/decisions/0019).
import { sha256 } from "@noble/hashes/sha2.js";

const PIECE = 4 * 1024 * 1024;

export interface Asked {
  readonly id: number;
  readonly file: Blob;
}

export interface Told {
  readonly id: number;
  readonly done: number;
  readonly digest?: string;
  readonly failed?: boolean;
}

const post = (told: Told): void => { (self as unknown as { postMessage(message: Told): void }).postMessage(told); };

async function hash({ id, file }: Asked): Promise<void> {
  const hasher = sha256.create();
  for (let done = 0; done < file.size; done += PIECE) {
    hasher.update(new Uint8Array(await file.slice(done, done + PIECE).arrayBuffer()));
    post({ id, done: Math.min(file.size, done + PIECE) });
  }
  post({ id, done: file.size, digest: Array.from(hasher.digest(), (byte) => byte.toString(16).padStart(2, "0")).join("") });
}

self.addEventListener("message", (event: MessageEvent<Asked>) => {
  // What cannot be read any more was changed or taken away since it was chosen.
  hash(event.data).catch(() => post({ id: event.data.id, done: 0, failed: true }));
});
