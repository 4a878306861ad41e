// What this browser remembers of uploads that have not ended, so that the same files chosen again go on where they stopped.
//
// Kept for each person apart: whoever signs in after somebody else sees none of their files' names. The archive itself says
// how far an upload is; what stands here is only its address, and which files belong to a document that is not whole yet.

import type { PreviousUpload } from "tus-js-client";

export interface KeptPage {
  readonly page: number;
  readonly name: string;
  readonly size: number;
  readonly modified: number;
}

export interface KeptPaper {
  readonly id: string;
  readonly title: string;
  readonly pages: readonly KeptPage[];
  readonly intent: Readonly<Record<string, string>>;
  readonly begun: string;
}

export interface KeptUpload extends PreviousUpload {
  readonly fingerprint: string;
}

function read<T>(key: string): T | undefined {
  try {
    const text = localStorage.getItem(key);
    return text === null ? undefined : (JSON.parse(text) as T);
  } catch {
    return undefined; // storage is closed to us, or something else wrote there
  }
}

export class Kept {
  private readonly uploads: string;
  private readonly papers: string;

  constructor(login: string) {
    this.uploads = `liuhen:upload:${login}:`;
    this.papers = `liuhen:paper:${login}:`;
  }

  private all<T>(prefix: string): [string, T][] {
    const found: [string, T][] = [];
    try {
      for (let index = 0; index < localStorage.length; index += 1) {
        const key = localStorage.key(index) ?? "";
        const value = key.startsWith(prefix) ? read<T>(key) : undefined;
        if (value) found.push([key, value]);
      }
    } catch { /* storage is closed to us: nothing is remembered */ }
    return found;
  }

  private put(key: string, value: unknown): void {
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch { /* full or closed: the upload goes on, and begins anew after a reload */ }
  }

  /** Every upload begun here that has not ended, oldest first. */
  allUploads(): KeptUpload[] {
    const found = this.all<KeptUpload>(this.uploads).map(([key, value]) => ({ ...value, urlStorageKey: key }));
    return found.sort((one, other) => one.creationTime.localeCompare(other.creationTime));
  }

  /** The upload under way of the file that has this fingerprint. */
  upload(fingerprint: string): KeptUpload | undefined {
    return read<KeptUpload>(this.uploads + fingerprint);
  }

  forget(fingerprint: string): void {
    try {
      localStorage.removeItem(this.uploads + fingerprint);
    } catch { /* nothing is remembered then */ }
  }

  // The interface that tus-js-client asks of a store of addresses.

  findAllUploads(): Promise<PreviousUpload[]> {
    return Promise.resolve(this.allUploads());
  }

  findUploadsByFingerprint(fingerprint: string): Promise<PreviousUpload[]> {
    const found = this.upload(fingerprint);
    return Promise.resolve(found ? [found] : []);
  }

  removeUpload(key: string): Promise<void> {
    this.forget(key.slice(this.uploads.length));
    return Promise.resolve();
  }

  addUpload(fingerprint: string, upload: PreviousUpload): Promise<string> {
    this.put(this.uploads + fingerprint, { ...upload, fingerprint });
    return Promise.resolve(this.uploads + fingerprint);
  }

  /** Documents of several pages that this browser began and that are not whole as far as it knows, oldest first. */
  allPapers(): KeptPaper[] {
    return this.all<KeptPaper>(this.papers).map(([, value]) => value).sort((one, other) => one.begun.localeCompare(other.begun));
  }

  keepPaper(paper: KeptPaper): void {
    this.put(this.papers + paper.id, paper);
  }

  forgetPaper(id: string): void {
    try {
      localStorage.removeItem(this.papers + id);
    } catch { /* nothing is remembered then */ }
  }
}
