// <lh-upload>: files and folders from this computer into the archive. The page carries the form, the words and the limits; this wires them.
//
// Nothing is sent before the person says so, because what has been taken in cannot be taken back; what was begun before a reload goes on
// at once when its file is chosen again, because it was said then.

import { h } from "./dom";
import { Draft } from "./drafts";
import { type Chosen, chosen, dropped } from "./dropped";
import { Kept, type KeptPaper } from "./kept";
import { plain } from "./names";
import { type Intent, type Leaf, Sender, Transfer } from "./sending";
import { States } from "./upload_states";
import { Unfinished } from "./unfinished";
import { type Acts, Row, type Words, badge, bytes, lasting, link, picture } from "./upload_rows";
import { word } from "./words";

const DRAW_EVERY_MS = 150;

/** A document on its way: its pages' rows stand under one line of its own. */
interface Sent {
  readonly paper: KeptPaper;
  readonly line: HTMLTableRowElement;
  readonly pages: Map<number, Transfer>;
  arrived: ReadonlySet<number>;
  number: string | undefined;
  state: "stored" | "verified" | "flawed";
}

class Uploading extends HTMLElement implements Acts {
  private readonly rows = new Map<Transfer, Row>();
  private readonly papers = new Map<string, Sent>();
  private drafts: Draft[] = [];
  private readonly fresh = new Set<Transfer>();
  private drawing = false;
  private forPage: Leaf | undefined;
  private forIntent: Intent = {};
  private kept!: Kept;
  private sender!: Sender;
  private unfinished!: Unfinished;
  private words!: Words;

  connectedCallback(): void {
    const say = <T>(name: string): T => JSON.parse(this.dataset[name] ?? "{}") as T;
    this.words = { kinds: say("kinds"), refusals: say("refusals"), stages: say("stages") };
    this.kept = new Kept(this.dataset["login"] ?? "");
    const ways = { endpoint: "/api/v1/uploads", chunk: Number(this.dataset["chunk"]), atOnce: Number(this.dataset["atOnce"]), limit: Number(this.dataset["limit"]) };
    this.sender = new Sender(ways, this.kept, (transfer) => this.touch(transfer));
    this.unfinished = new Unfinished(this.spot("unfinished"), this.kept, () => this.file("files").click());
    new States(() => this.asking(), (told) => {
      for (const [transfer] of this.rows) {
        const item = transfer.number === undefined ? undefined : told.items[transfer.number];
        if (!item) continue;
        transfer.same = item.same ?? transfer.same;
        if (item.state !== transfer.state) transfer.state = item.state;
        this.touch(transfer);
      }
      for (const sent of this.papers.values()) sent.state = told.items[sent.number ?? ""]?.state ?? sent.state;
      for (const [id, paper] of Object.entries(told.papers)) this.heard(id, new Set(paper.arrived), paper.number ?? undefined);
      this.touch();
    }).run();
    this.wire();
    void this.unfinished.look();
  }

  private spot(name: string): HTMLElement {
    const found = this.querySelector<HTMLElement>(`[data-part="${name}"]`);
    if (!found) throw new Error(name);
    return found;
  }

  private file(name: string): HTMLInputElement {
    return this.spot(name) as HTMLInputElement;
  }

  private press(name: string, act: () => void): void {
    this.spot(name).addEventListener("click", act);
  }

  private wire(): void {
    for (const name of ["files", "folder"]) {
      this.file(name).addEventListener("change", () => this.take(chosen(this.file(name))));
      this.press(`choose-${name}`, () => this.file(name).click());
    }
    this.file("page").addEventListener("change", () => this.takePage(chosen(this.file("page"))));
    this.press("start", () => void this.start());
    this.press("gather", () => this.gather());
    this.press("pause", () => { if (this.sender.paused) this.sender.goOn(); else this.sender.pause(); this.draw(); });
    this.press("again", () => { for (const [one] of this.rows) if (["refused", "broken"].includes(one.state)) this.retry(one); });
    this.press("wrong", () => {
      const only = this.spot("list").classList.toggle("is-wrong-only");
      this.spot("wrong").setAttribute("aria-pressed", String(only));
    });
    this.press("clear", () => { for (const [one] of [...this.rows]) if (["verified", "cancelled"].includes(one.state) && !one.leaf) this.takeAway(one); });
    this.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-missing]");
      if (button) this.askPage(JSON.parse(button.dataset["missing"] ?? "{}") as Leaf & { intent: Intent });
    });
    const zone = this.spot("zone");
    const carries = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
    // The whole page takes a drop: beside the frame, a browser would leave the page and show the file.
    document.addEventListener("dragover", (event) => { if (carries(event)) { event.preventDefault(); zone.classList.add("is-over"); } });
    document.addEventListener("dragleave", (event) => { if (event.relatedTarget === null) zone.classList.remove("is-over"); });
    document.addEventListener("drop", (event) => {
      if (!carries(event) || !event.dataTransfer) return;
      event.preventDefault();
      zone.classList.remove("is-over");
      const draft = this.drafts.find((one) => event.target instanceof Node && one.card.contains(event.target));
      void dropped(event.dataTransfer).then((found) => this.take(found, draft));
    });
    window.addEventListener("beforeunload", (event) => { if (this.all().some((one) => one.busy)) event.preventDefault(); });
    // A part of the page that keeps itself current must not lead away to the sign-in page, and take the list of files with it.
    this.addEventListener("htmx:beforeOnLoad", (event) => { if ((event as CustomEvent<{ xhr: XMLHttpRequest }>).detail.xhr.status === 401) event.preventDefault(); });
    window.addEventListener("online", () => { for (const one of this.all()) if (one.state === "broken" && one.refusal?.code === "unavailable") this.retry(one); });
    const number = this.querySelector<HTMLInputElement>("#f-case");
    number?.addEventListener("change", () => void this.caseKnown());
    number?.addEventListener("input", () => void this.offer(number.value));
  }

  private all(): Transfer[] {
    return [...this.rows.keys()];
  }

  // What is chosen

  private take(found: readonly Chosen[], draft?: Draft): void {
    const fresh: Transfer[] = [];
    for (const { file, path } of found) {
      const transfer = new Transfer(file, path);
      const mine = this.leafOf(file);
      if (mine === "in") continue;
      if (mine) {
        this.join(mine.paper, transfer, mine.page);
        continue;
      }
      if (this.all().some((one) => !one.over && one.leaf === undefined && one.fingerprint === transfer.fingerprint)) continue;
      const before = this.kept.upload(transfer.fingerprint);
      this.add(transfer);
      if (before) {
        const { recorder, case: number, stage } = before.metadata;
        transfer.intent = { ...(recorder && { recorder }), ...(number && { case: number }), ...(stage && { stage }) };
        this.unfinished.found(transfer.fingerprint);
        this.sender.send(transfer);
      } else fresh.push(transfer);
    }
    const images = fresh.filter((one) => picture(one.file));
    if (draft && images.length > 0) this.into(draft, images);
    this.draw();
  }

  private add(transfer: Transfer, before: Node | null = null): void {
    const row = new Row(transfer, this, this.words);
    row.box.addEventListener("change", () => this.draw());
    this.rows.set(transfer, row);
    const list = this.spot("rows");
    list.insertBefore(row.line, before);
    list.insertBefore(row.under, before);
  }

  /** The page of a document begun earlier that this file is, if it has not come yet; "in" if it has. */
  private leafOf(file: File): { paper: KeptPaper; page: number } | "in" | undefined {
    let there = false;
    for (const paper of this.kept.allPapers()) {
      for (const { page, name, size, modified } of paper.pages) {
        const known = this.papers.get(paper.id);
        if (name !== file.name || size !== file.size || modified !== file.lastModified) continue;
        const under = known?.pages.get(page);
        const arrived = known?.arrived.has(page) || this.unfinished.arrived.get(paper.id)?.has(page) || under?.number !== undefined;
        if (!arrived && (!under || under.state === "cancelled" || under.state === "refused")) return { paper, page };
        there = true;
      }
    }
    return there ? "in" : undefined;
  }

  // Documents

  private gather(): void {
    const free = this.all().filter((one) => one.state === "staged" && !this.drafts.some((draft) => draft.pages.includes(one)));
    const ticked = free.filter((one) => this.rows.get(one)?.box.checked);
    const images = (ticked.length > 0 ? ticked : free).filter((one) => picture(one.file));
    if (images.length === 0) return;
    const draft = new Draft(images, {
      dissolve: (one) => { for (const page of one.pages) this.show(page, true); this.drafts = this.drafts.filter((other) => other !== one); one.close(); this.draw(); },
      release: (page) => { this.show(page, true); this.draw(); },
    });
    this.drafts.push(draft);
    for (const one of images) this.show(one, false);
    this.spot("drafts").append(draft.card);
    draft.card.querySelector<HTMLInputElement>("input")?.focus();
    this.draw();
  }

  private into(draft: Draft, images: readonly Transfer[]): void {
    draft.add(images);
    for (const one of images) this.show(one, false);
  }

  private show(transfer: Transfer, shown: boolean): void {
    const row = this.rows.get(transfer);
    if (!row) return;
    row.line.hidden = !shown;
    row.box.checked = false;
    if (!shown) row.under.hidden = true;
  }

  private sent(paper: KeptPaper): Sent {
    const known = this.papers.get(paper.id);
    if (known) return known;
    const made: Sent = { paper, line: h("tr", { class: "lhu-paper" }), pages: new Map(), arrived: new Set(), number: undefined, state: "stored" };
    this.papers.set(paper.id, made);
    this.spot("rows").append(made.line);
    return made;
  }

  private join(paper: KeptPaper, transfer: Transfer, page: number): void {
    const sent = this.sent(paper);
    const old = sent.pages.get(page);
    if (old) this.takeAway(old);
    transfer.leaf = { document: paper.id, page, pages: paper.pages.length, title: paper.title };
    transfer.intent = paper.intent;
    sent.pages.set(page, transfer);
    const later = [...sent.pages.entries()].filter(([other]) => other > page).sort(([one], [other]) => one - other)[0];
    const after = [...sent.pages.entries()].filter(([other]) => other < page).sort(([one], [other]) => other - one)[0];
    const before = later ? this.rows.get(later[1])?.line : after ? this.rows.get(after[1])?.under.nextSibling : sent.line.nextSibling;
    const row = this.rows.get(transfer);
    if (row) for (const part of [row.line, row.under]) this.spot("rows").insertBefore(part, before ?? null);
    else this.add(transfer, before ?? null);
    this.show(transfer, true);
    this.unfinished.foundPaper(paper.id);
    this.sender.send(transfer);
    this.touch(transfer);
  }

  /** A page that did not come, of a document that the archive waits for; its file may lie on another computer by now. */
  private askPage({ intent, ...leaf }: Leaf & { intent: Intent }): void {
    this.forPage = leaf;
    this.forIntent = intent;
    this.file("page").click();
  }

  private takePage(found: readonly Chosen[]): void {
    const [one] = found;
    const leaf = this.forPage;
    if (!one || !leaf) return;
    const kept = this.kept.allPapers().find((paper) => paper.id === leaf.document);
    const blank = (page: number) => ({ page, name: "", size: -1, modified: -1 });
    const pages = Array.from({ length: leaf.pages }, (_, index) => kept?.pages[index] ?? blank(index + 1));
    const mine = { page: leaf.page, name: one.file.name, size: one.file.size, modified: one.file.lastModified };
    const paper: KeptPaper = { id: leaf.document, title: leaf.title, pages: pages.with(leaf.page - 1, mine), intent: { ...this.forIntent }, begun: kept?.begun ?? new Date().toISOString() };
    this.kept.keepPaper(paper);
    this.join(paper, new Transfer(one.file, one.path), leaf.page);
  }

  private heard(id: string, arrived: ReadonlySet<number>, number: string | undefined): void {
    const sent = this.papers.get(id);
    if (!sent) return;
    sent.arrived = arrived;
    sent.number = number;
    if (number !== undefined) this.kept.forgetPaper(id);
    this.touch();
  }

  // Sending

  private entered(): Intent {
    const value = (name: string): string => this.querySelector<HTMLInputElement | HTMLSelectElement>(`#f-${name}`)?.value.trim() ?? "";
    const number = value("case");
    return { ...(value("recorder") && { recorder: value("recorder") }), ...(number && { case: number, stage: value("stage") }) };
  }

  private async start(): Promise<void> {
    if (!(await this.caseKnown()) || !this.drafts.every((draft) => draft.ready())) return;
    const intent = this.entered();
    for (const draft of this.drafts) {
      const pages = draft.pages.map(({ file }, index) => ({ page: index + 1, name: file.name, size: file.size, modified: file.lastModified }));
      const paper: KeptPaper = { id: draft.id, title: draft.title, pages, intent: { ...intent }, begun: new Date().toISOString() };
      this.kept.keepPaper(paper);
      for (const [index, page] of draft.pages.entries()) this.join(paper, page, index + 1);
      draft.close();
    }
    this.drafts = [];
    for (const one of this.all()) {
      if (one.state !== "staged") continue;
      one.intent = intent;
      this.sender.send(one);
    }
    this.draw();
  }

  /** Whether the case that was entered exists; said beside the field before two hundred files are refused for it. */
  private async caseKnown(): Promise<boolean> {
    const field = this.querySelector<HTMLInputElement>("#f-case");
    const hint = this.spot("case-said");
    const number = field?.value.trim() ?? "";
    field?.removeAttribute("aria-invalid");
    hint.className = "lh-hint";
    hint.textContent = "";
    if (!field || number === "") return true;
    const answer = await fetch(`/upload/case?number=${encodeURIComponent(number)}`).catch(() => undefined);
    if (answer?.ok) {
      const found = (await answer.json()) as { number: string; title: string };
      field.value = found.number;
      hint.textContent = found.title;
      return true;
    }
    const refused = answer?.status === 404;
    hint.className = "lh-error";
    hint.textContent = refused ? word("case_unknown") : word("case_unasked");
    if (refused) field.setAttribute("aria-invalid", "true");
    field.focus();
    return false;
  }

  private async offer(typed: string): Promise<void> {
    const answer = await fetch(`/api/v1/cases?limit=20&q=${encodeURIComponent(typed.trim())}`).catch(() => undefined);
    if (!answer?.ok) return;
    const { cases } = (await answer.json()) as { cases: { number: string; title: string }[] };
    document.getElementById("l-cases")?.replaceChildren(...cases.map((one) => h("option", { value: one.number }, one.title)));
  }

  cancel(transfer: Transfer): void {
    void this.sender.cancel(transfer);
  }

  retry(transfer: Transfer): void {
    this.sender.send(transfer);
  }

  takeAway(transfer: Transfer): void {
    const row = this.rows.get(transfer);
    row?.line.remove();
    row?.under.remove();
    this.rows.delete(transfer);
    this.draw();
  }

  // What is seen

  private touch(transfer?: Transfer): void {
    if (transfer) this.fresh.add(transfer);
    if (this.drawing) return;
    this.drawing = true;
    window.setTimeout(() => { this.drawing = false; this.draw(); }, DRAW_EVERY_MS);
  }

  private draw(): void {
    for (const transfer of this.fresh) this.rows.get(transfer)?.draw();
    this.fresh.clear();
    for (const sent of this.papers.values()) this.drawPaper(sent);
    const all = this.all();
    const count = (...states: string[]): number => all.filter((one) => states.includes(one.state)).length;
    const staged = count("staged");
    const going = count("queued", "hashing", "sending", "waiting");
    this.spot("list").hidden = all.length === 0;
    this.spot("zone").classList.toggle("is-empty", all.length === 0);
    this.spot("count").textContent = String(all.length);
    const sums: [string, number][] = [["sum_staged", staged], ["sum_going", going], ["sum_paused", count("paused")], ["sum_in", count("stored", "verified")], ["sum_wrong", count("refused", "broken", "flawed")], ["sum_cancelled", count("cancelled")]];
    this.spot("sum").textContent = sums.filter(([, number]) => number > 0).map(([key, number]) => word(key, { count: number })).join(" · ");
    const start = this.file("start");
    start.disabled = staged === 0;
    start.textContent = staged > 0 ? word("start_count", { count: staged }) : word("start");
    const free = all.filter((one) => one.state === "staged" && picture(one.file) && !this.rows.get(one)?.line.hidden);
    this.file("gather").hidden = free.length === 0;
    this.file("pause").hidden = going === 0 && !this.sender.paused;
    this.file("pause").textContent = this.sender.paused ? word("go_on_all") : word("pause_all");
    this.file("again").hidden = count("refused", "broken") === 0;
    const wrong = count("refused", "broken", "flawed");
    if (wrong === 0 && !this.file("wrong").hidden) this.spot("list").classList.remove("is-wrong-only");
    this.file("wrong").hidden = wrong === 0 || wrong === all.length;
    this.file("clear").hidden = !all.some((one) => ["verified", "cancelled"].includes(one.state) && !one.leaf);
    this.drawWhole(all.filter((one) => !["staged", "cancelled", "refused"].includes(one.state)), going);
  }

  private drawWhole(sending: readonly Transfer[], going: number): void {
    const size = sending.reduce((sum, one) => sum + one.file.size, 0);
    const sent = sending.reduce((sum, one) => sum + Math.min(one.sent, one.file.size), 0);
    const speed = sending.reduce((sum, one) => sum + one.speed, 0);
    const whole = this.spot("whole");
    whole.hidden = going === 0;
    const bar = whole.querySelector("progress");
    if (bar) bar.value = size === 0 ? 0 : Math.round((sent / size) * 1000);
    const left = speed > 0 ? ` · ${word("left", { time: lasting((size - sent) / speed) })}` : "";
    this.spot("whole-said").textContent = `${bytes(sent)} / ${bytes(size)}${speed > 0 ? ` · ${bytes(speed)}/s` : ""}${left}`;
  }

  private drawPaper(sent: Sent): void {
    const { paper, line, number } = sent;
    const arrived = new Set([...sent.arrived, ...[...sent.pages].filter(([, one]) => one.number !== undefined).map(([page]) => page)]);
    const missing = paper.pages.map(({ page }) => page).filter((page) => !arrived.has(page));
    const going = [...sent.pages.values()].some((one) => one.busy || one.state === "paused");
    const text = number !== undefined ? "" : missing.length === 0 ? word("paper_joining") : going ? word("paper_coming", { arrived: arrived.size, pages: paper.pages.length }) : word("paper_waits", { missing: missing.join(" ") });
    const shown = `${number}|${text}|${sent.state}`;
    if (line.dataset["shown"] === shown) return;
    line.dataset["shown"] = shown;
    line.replaceChildren(h("td"), h("td", { colspan: 4 }, h("strong", {}, plain(paper.title)), " ", h("span", { class: "soft" }, word("paper_of", { pages: paper.pages.length }))),
      h("td", { colspan: number === undefined ? 4 : 1 }, number !== undefined ? badge(sent.state) : h("span", { class: `lh-badge ${going || missing.length === 0 ? "is-grey" : "is-waiting"}` }, text)),
      ...(number !== undefined ? [h("td", { colspan: 3 }, link(number))] : []));
  }

  private asking(): { items: string[]; papers: string[] } {
    const items = this.all().filter((one) => one.number !== undefined && one.state === "stored").map((one) => one.number ?? "");
    for (const { number, state } of this.papers.values()) if (number !== undefined && state === "stored") items.push(number);
    const papers = [...this.papers.values()].filter((one) => one.number === undefined).map((one) => one.paper.id);
    return { items, papers };
  }
}

customElements.define("lh-upload", Uploading);
