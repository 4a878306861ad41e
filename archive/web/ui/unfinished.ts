// What was begun here before and has not ended: the files to choose again, so that they go on where they stopped.

import { Upload } from "tus-js-client";
import { h, icon } from "./dom";
import type { Kept, KeptPaper, KeptUpload } from "./kept";
import { plain, shownName } from "./names";
import { bytes } from "./upload_rows";
import { word } from "./words";

interface Standing {
  readonly state: string;
  readonly offset: number | null;
  readonly length: number | null;
}

export class Unfinished {
  private readonly list = h("ul", { class: "lhu-unfinished" });
  /** Pages that are in, of documents begun here before. */
  readonly arrived = new Map<string, ReadonlySet<number>>();
  private readonly lines = new Map<string, HTMLElement>();

  constructor(private readonly card: HTMLElement, private readonly kept: Kept, private readonly choose: () => void) {
    const button = this.card.querySelector("button");
    button?.addEventListener("click", () => this.choose());
    this.card.append(this.list);
  }

  /** Find out what of it the archive still waits for. */
  async look(): Promise<void> {
    for (const paper of this.kept.allPapers()) await this.paper(paper);
    for (const upload of this.kept.allUploads()) if (upload.metadata["document"] === undefined) await this.upload(upload);
  }

  found(fingerprint: string): void {
    this.drop(fingerprint);
  }

  foundPaper(id: string): void {
    this.drop(id);
  }

  private drop(key: string): void {
    this.lines.get(key)?.remove();
    this.lines.delete(key);
    this.card.hidden = this.lines.size === 0;
  }

  private async upload(kept: KeptUpload): Promise<void> {
    const answer = await fetch(kept.uploadUrl ?? "", { headers: { Accept: "application/json" } }).catch(() => undefined);
    if (!answer || answer.status >= 500) return;
    const standing = answer.ok ? ((await answer.json()) as Standing) : undefined;
    if (standing?.state !== "receiving") {
      // Signed out is not ended; anything else that is not under way is.
      if (answer.status !== 401) this.kept.forget(kept.fingerprint);
      return;
    }
    const size = kept.size ?? 0;
    const part = size === 0 ? 0 : Math.floor(((standing.offset ?? 0) / size) * 100);
    const about = [bytes(size), word("arrived_part", { part: `${part}%` }), kept.metadata["case"] ?? ""].filter((one) => one !== "");
    this.line(kept.fingerprint, shownName(kept.metadata["filename"] ?? ""), about.join(" · "), async () => {
      this.kept.forget(kept.fingerprint);
      await Upload.terminate(kept.uploadUrl ?? "").catch(() => undefined);
    });
  }

  private async paper(paper: KeptPaper): Promise<void> {
    const answer = await fetch(`/upload/states?p=${paper.id}`, { headers: { Accept: "application/json" } }).catch(() => undefined);
    if (!answer?.ok || !answer.headers.get("content-type")?.includes("json")) return;
    const told = ((await answer.json()) as { papers: Record<string, { arrived: number[]; number: string | null } | undefined> }).papers[paper.id];
    this.arrived.set(paper.id, new Set(told?.arrived));
    const missing = paper.pages.filter(({ page }) => !told?.arrived.includes(page));
    if (told?.number || missing.length === 0) {
      this.kept.forgetPaper(paper.id);
      return;
    }
    const names = missing.map(({ page, name }) => (name === "" ? String(page) : shownName(name))).join("  ");
    this.line(paper.id, plain(paper.title), `${word("paper_coming", { arrived: paper.pages.length - missing.length, pages: paper.pages.length })} · ${word("choose_names", { names })}`, async () => this.kept.forgetPaper(paper.id));
  }

  private line(key: string, name: string, about: string, forget: () => Promise<void>): void {
    const button = h("button", { type: "button", class: "lh-copy", title: word("forget"), "aria-label": `${word("forget")} ${name}` }, icon("close"));
    button.addEventListener("click", () => { this.drop(key); void forget(); });
    const line = h("li", {}, h("span", { class: "clip", title: name }, name), h("span", { class: "soft" }, about), button);
    this.lines.set(key, line);
    this.list.append(line);
    this.card.hidden = false;
  }
}
