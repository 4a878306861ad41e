// The strip of a document's pages: as many thumbnails as there is room for, whatever the number of pages.

import { h } from "./dom";
import type { Leaf } from "./sheet";
import { word } from "./words";

const ROW = 156;
const BEYOND = 3;

export class Strip {
  readonly element = h("div", { class: "lhs-strip", role: "listbox", tabindex: 0 });
  private readonly long = h("div", { class: "lhs-long", role: "presentation" });
  private readonly rows = new Map<number, HTMLElement>();
  private pages: readonly Leaf[] = [];
  private current = 0;

  constructor(private readonly chosen: (index: number) => void) {
    this.element.setAttribute("aria-label", word("pages"));
    this.element.append(this.long);
    this.element.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(pages: readonly Leaf[], current: number): void {
    this.pages = pages;
    this.element.hidden = pages.length < 2;
    this.long.style.height = `${pages.length * ROW}px`;
    for (const [index, row] of this.rows) if (row.dataset["state"] !== pages[index]?.state) this.drop(index);
    const moved = current !== this.current;
    this.current = current;
    if (moved || this.rows.size === 0) this.reveal();
    this.draw();
  }

  private reveal(): void {
    const top = this.current * ROW;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.element.scrollTop = top + ROW - clientHeight;
  }

  private draw(): void {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - BEYOND);
    const last = Math.min(this.pages.length - 1, Math.ceil((scrollTop + clientHeight) / ROW) + BEYOND);
    for (const index of this.rows.keys()) if (index < first || index > last) this.drop(index);
    for (let index = first; index <= last; index += 1) {
      const row = this.rows.get(index) ?? this.row(index);
      row.setAttribute("aria-selected", String(index === this.current));
      if (index === this.current) this.element.setAttribute("aria-activedescendant", row.id);
    }
  }

  private drop(index: number): void {
    this.rows.get(index)?.remove();
    this.rows.delete(index);
  }

  private row(index: number): HTMLElement {
    const page = this.pages[index] as Leaf;
    const picture = page.state === "ready" ? h("img", { src: page.thumb, alt: "", draggable: "false" }) : h("span", { class: `lhs-blank is-${page.state}` });
    const row = h("div", { class: "lhs-thumb", role: "option", id: `lhs-page-${page.page}`, "aria-label": word("page", { number: page.page }), "aria-posinset": index + 1, "aria-setsize": this.pages.length }, picture, h("span", {}, String(page.page)));
    row.dataset["state"] = page.state;
    row.style.top = `${index * ROW}px`;
    row.addEventListener("click", () => this.chosen(index));
    this.rows.set(index, row);
    this.long.append(row);
    return row;
  }
}
