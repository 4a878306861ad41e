// Several scanned images on their way to becoming one document: a title and an order, chosen before anything is sent.

import { h, iconButton } from "./dom";
import { plain, shownName } from "./names";
import { bytes } from "./upload_rows";
import type { Transfer } from "./sending";
import { word } from "./words";

export const LONGEST_TITLE = 128;
export const MOST_PAGES = 2000;
const ORDERS = ["by_hand", "by_name", "backs_last", "backs_in_order"] as const;
type Order = (typeof ORDERS)[number];

/** Both sides of a pile: its front sides first, then its backs, which the pile turned over gives from the last to the first. */
export function interleaved<T>(pages: readonly T[], turned: boolean): T[] {
  const half = Math.ceil(pages.length / 2);
  const fronts = pages.slice(0, half);
  const backs = turned ? pages.slice(half).reverse() : pages.slice(half);
  return fronts.flatMap((front, index) => { const back = backs[index]; return back === undefined ? [front] : [front, back]; });
}

/** 32 hexadecimal digits that no other document has. */
function named(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export interface DraftActs {
  /** The draft is no more; its images are single files again. */
  dissolve(draft: Draft): void;
  /** One image left the draft. */
  release(transfer: Transfer): void;
}

export class Draft {
  readonly id = named();
  readonly card = h("section", { class: "lh-card lhu-draft" });
  private readonly field = h("input", { class: "lh-field", maxlength: LONGEST_TITLE, required: true });
  private readonly problem = h("div", { class: "lh-error", hidden: true });
  private readonly order = h("select", { class: "lh-field" });
  private readonly sheets = h("ol", { class: "lhu-sheets" });
  private readonly count = h("span", { class: "soft" });
  private readonly urls = new Map<Transfer, string>();
  private dragged: Transfer | undefined;

  constructor(public pages: Transfer[], private readonly acts: DraftActs) {
    const dissolve = h("button", { type: "button", class: "lh-btn is-small" }, word("dissolve"));
    dissolve.addEventListener("click", () => this.acts.dissolve(this));
    this.field.id = `t-${this.id}`;
    this.order.id = `o-${this.id}`;
    this.field.value = plain(this.proposed());
    for (const order of ORDERS) this.order.append(h("option", { value: order }, word(`order_${order}`)));
    this.order.addEventListener("change", () => this.sort(this.order.value as Order));
    this.card.append(
      h("header", {}, h("h2", {}, word("draft")), this.count, h("span", { class: "lh-right" }, dissolve)),
      h("div", { class: "lh-body lh-form" },
        h("div", { class: "lh-inline" },
          h("div", { class: "lhu-title" }, h("label", { for: this.field.id }, word("draft_title")), this.field, this.problem),
          h("div", {}, h("label", { for: this.order.id }, word("order")), this.order)),
        this.sheets));
    this.field.addEventListener("input", () => { this.problem.hidden = true; this.field.removeAttribute("aria-invalid"); });
    this.draw();
  }

  get title(): string {
    return this.field.value.trim();
  }

  add(more: readonly Transfer[]): void {
    this.pages.push(...more.filter((one) => !this.pages.includes(one)));
    this.draw();
  }

  /** Whether it can be sent; if not, what is missing is said where it is missing. */
  ready(): boolean {
    const wrong = this.title === "" ? word("title_missing") : this.pages.length > MOST_PAGES ? word("too_many", { most: MOST_PAGES }) : "";
    this.problem.hidden = wrong === "";
    this.problem.textContent = wrong;
    if (wrong === "") return true;
    this.field.setAttribute("aria-invalid", "true");
    this.field.focus();
    return false;
  }

  close(): void {
    for (const url of this.urls.values()) URL.revokeObjectURL(url);
    this.card.remove();
  }

  /** What the images' names begin with, where they have that in common. */
  private proposed(): string {
    const [first = "", ...others] = this.pages.map(({ file }) => file.name.replace(/\.[^.]*$/, ""));
    let length = first.length;
    for (const other of others) while (!other.startsWith(first.slice(0, length))) length -= 1;
    return others.length === 0 ? first : first.slice(0, length).replace(/[\s\d_\-.(\uff08\u7b2c]+$/, "");
  }

  private sort(order: Order): void {
    const named = [...this.pages].sort((one, other) => one.path.localeCompare(other.path, undefined, { numeric: true }));
    if (order === "by_name") this.pages = named;
    if (order === "backs_last") this.pages = interleaved(named, true);
    if (order === "backs_in_order") this.pages = interleaved(named, false);
    this.draw();
  }

  private draw(): void {
    this.count.textContent = word("draft_pages", { pages: this.pages.length, size: bytes(this.pages.reduce((sum, one) => sum + one.file.size, 0)) });
    this.sheets.replaceChildren(...this.pages.map((page, index) => this.sheet(page, index)));
  }

  private sheet(page: Transfer, index: number): HTMLElement {
    let url = this.urls.get(page);
    if (url === undefined) {
      url = URL.createObjectURL(page.file);
      this.urls.set(page, url);
    }
    const picture = h("img", { src: url, alt: "", draggable: "false", loading: "lazy", decoding: "async" });
    // TIFF is no picture to most browsers.
    picture.addEventListener("error", () => picture.replaceWith(h("span", { class: "lhu-blank" }, shownName(page.file.name).split(".").pop()?.toUpperCase() ?? "")), { once: true });
    const place = word("page_of", { number: index + 1, count: this.pages.length });
    const sheet = h("li", { class: "lhu-sheet", draggable: "true", tabindex: 0, "aria-label": `${place} ${shownName(page.file.name)}` },
      h("div", { class: "lhu-picture" }, picture),
      h("div", { class: "lhu-place" },
        iconButton("left", `${word("page_earlier")} (Alt ←)`, () => this.move(index, index - 1), "lh-copy"),
        h("strong", {}, String(index + 1)),
        iconButton("right", `${word("page_later")} (Alt →)`, () => this.move(index, index + 1), "lh-copy"),
        iconButton("close", word("page_out"), () => this.release(page), "lh-copy")),
      h("span", { class: "clip soft", title: shownName(page.path) }, shownName(page.file.name)));
    sheet.addEventListener("keydown", (event) => this.hear(event, index));
    sheet.addEventListener("dragstart", (event) => { this.dragged = page; event.dataTransfer?.setData("text/plain", page.file.name); sheet.classList.add("is-dragged"); });
    sheet.addEventListener("dragend", () => { this.dragged = undefined; this.draw(); });
    sheet.addEventListener("dragover", (event) => { if (this.dragged) { event.preventDefault(); event.stopPropagation(); sheet.classList.add("is-target"); } });
    sheet.addEventListener("dragleave", () => sheet.classList.remove("is-target"));
    sheet.addEventListener("drop", (event) => {
      if (!this.dragged) return;
      event.preventDefault();
      event.stopPropagation();
      this.move(this.pages.indexOf(this.dragged), index);
    });
    return sheet;
  }

  private hear(event: KeyboardEvent, index: number): void {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.target !== event.currentTarget) return;
    if (step && event.altKey) this.move(index, index + step);
    else if (step) this.focus(index + step);
    else if (event.key === "Delete") this.release(this.pages[index]);
    else return;
    event.preventDefault();
  }

  private move(from: number, to: number): void {
    const page = this.pages[from];
    if (!page || to < 0 || to >= this.pages.length) return;
    this.pages.splice(from, 1);
    this.pages.splice(to, 0, page);
    this.order.value = "by_hand";
    this.draw();
    this.focus(to);
    const status = document.getElementById("lh-status");
    if (status) status.textContent = `${shownName(page.file.name)}: ${word("page_of", { number: to + 1, count: this.pages.length })}`;
  }

  private focus(index: number): void {
    (this.sheets.children[index] as HTMLElement | undefined)?.focus();
  }

  private release(page: Transfer | undefined): void {
    if (!page) return;
    this.pages = this.pages.filter((one) => one !== page);
    this.acts.release(page);
    if (this.pages.length === 0) this.acts.dissolve(this);
    else this.draw();
  }
}
