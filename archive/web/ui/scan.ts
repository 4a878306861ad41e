// <liuhen-scan>: the pages of a document or a photo. data-pages is the address of their list; data-number the item's.
//
// Pages may still be drawn while they are looked at: the list is asked for again until all are, and a page that is opened is asked for
// before its turn. Closer than the view, the page is asked for at full resolution and shown in tiles. `?page=n` opens at page n.

import { alone, h, iconButton, keysDialog, typing, unclaimed } from "./dom";
import { type Leaf, type Pyramid, Sheet } from "./sheet";
import { Strip } from "./strip";
import { word } from "./words";

const STEP = 1.25;
const PAN = 80;
const LIST_MS = 1500;
const ASK_MS = 350;

interface Standing extends Partial<Pyramid> {
  readonly state: Leaf["state"];
  readonly permille: number;
}

export class ScanView extends HTMLElement {
  private pages: readonly Leaf[] = [];
  private current = 0;
  private built = false;
  private keys: HTMLDialogElement | undefined;
  private asking: AbortController | undefined;
  private sharpening = "";
  private readonly leave = new AbortController();
  private readonly sheet = new Sheet(() => this.drawn());
  private readonly strip = new Strip((index) => this.go(index));
  private readonly stage = h("div", { class: "lhs-stage", tabindex: 0, role: "img" });
  private readonly message = h("div", { class: "lhs-message", role: "status", hidden: true });
  private readonly field = h("input", { class: "lhs-field", type: "text", inputmode: "numeric", autocomplete: "off" });
  private readonly count = h("span", { class: "lhs-count" });
  private readonly scale = h("span", { class: "lhs-scale" });
  private readonly whose = h("a", { class: "lhs-whose", hidden: true });
  private readonly turns = h("span", { class: "lhs-turns" });

  connectedCallback(): void {
    if (this.built) return;
    this.built = true;
    this.replaceChildren();
    this.classList.add("lhs");
    this.field.setAttribute("aria-label", word("page_number"));
    this.stage.append(this.sheet.canvas, this.message);
    this.append(h("div", { class: "lhs-body" }, this.strip.element, this.stage), this.bar());
    this.turns.hidden = true;
    this.strip.element.hidden = true;
    this.listen();
    void this.begin();
  }

  disconnectedCallback(): void {
    this.leave.abort();
    this.asking?.abort();
  }

  private bar(): HTMLElement {
    const help = h("button", { type: "button", class: "lhp-button lhp-help", "aria-label": word("keys"), title: `${word("keys")} ( ? )` }, "?");
    help.addEventListener("click", () => this.showKeys());
    const button = (icon: string, name: string, key: string, act: () => void): HTMLButtonElement => iconButton(icon, `${name} ( ${key} )`, act, "lhp-button");
    this.turns.append(button("left", word("page_back"), "PgUp", () => this.go(this.current - 1)), h("span", { class: "lhs-place" }, this.field, this.count), button("right", word("page_forward"), "PgDn", () => this.go(this.current + 1)));
    return h("div", { class: "lhp-bar" },
      this.turns, this.whose, h("span", { class: "lhp-space" }),
      button("minus", word("zoom_out"), "-", () => this.sheet.scaleBy(1 / STEP)), this.scale, button("plus", word("zoom_in"), "+", () => this.sheet.scaleBy(STEP)),
      button("fit", word("fit_width"), "W", () => this.sheet.fitTo("width")), button("whole", word("fit_page"), "0", () => this.sheet.fitTo("page")),
      button("rotate", word("rotate"), "R", () => this.sheet.rotate()), help,
    );
  }

  private listen(): void {
    const signal = this.leave.signal;
    document.addEventListener("keydown", (event) => this.hear(event), { signal });
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("pointerdown", (event) => this.drag(event));
    this.stage.addEventListener("dblclick", (event) => this.sheet.scaleBy(2, ...this.within(event)));
    this.field.addEventListener("change", () => this.jump());
    this.field.addEventListener("focus", () => this.field.select());
  }

  private async begin(): Promise<void> {
    while (!this.leave.signal.aborted) {
      const told = document.hidden && this.pages.length > 0 ? undefined : await this.ask<{ pages: Leaf[] }>(this.dataset["pages"] ?? "", "GET");
      if (told) {
        const first = this.pages.length === 0;
        this.pages = told.pages;
        if (first && told.pages.length > 0) this.go(this.wanted());
        else this.strip.show(this.pages, this.current);
        if (told.pages.length > 0 && !told.pages.some(({ state }) => state === "waiting")) return;
      } else if (this.pages.length === 0) this.tell(word("undrawn_list"));
      await this.pause(LIST_MS);
    }
  }

  private wanted(): number {
    const asked = this.addressed() ? Number(new URLSearchParams(location.search).get("page") ?? 1) : 1;
    return Math.min(this.pages.length, Math.max(1, Number.isInteger(asked) ? asked : 1)) - 1;
  }

  /** Whether the address bar is this viewer's: the item's own page, not a panel beside something else. */
  private addressed(): boolean {
    return decodeURIComponent(location.pathname) === `/items/${this.dataset["number"] ?? ""}`;
  }

  private go(index: number): void {
    const leaf = this.pages[index];
    if (!leaf) return;
    this.current = index;
    this.asking?.abort();
    this.asking = new AbortController();
    this.sharpening = "";
    this.sheet.clear();
    delete this.dataset["shown"];
    this.field.value = String(leaf.page);
    this.field.size = Math.max(2, String(this.pages.length).length);
    this.count.textContent = ` / ${this.pages.length}`;
    this.turns.hidden = this.pages.length < 2;
    this.stage.setAttribute("aria-label", word("page_of", { number: leaf.page, count: this.pages.length }));
    this.whose.hidden = leaf.number === this.dataset["number"];
    this.whose.textContent = leaf.number;
    this.whose.href = `/items/${encodeURIComponent(leaf.number)}`;
    this.strip.show(this.pages, index);
    if (this.addressed() && this.pages.length > 1) history.replaceState(history.state, "", `${location.pathname}?page=${leaf.page}`);
    void this.load(leaf, this.asking.signal);
  }

  private async load(leaf: Leaf, signal: AbortSignal): Promise<void> {
    let state = leaf.state;
    while (state === "waiting" || state === "absent") {
      const told = await this.ask<Standing>(leaf.view, "POST", signal);
      if (signal.aborted) return;
      state = told?.state ?? state;
      if (state !== "waiting" && state !== "absent") break;
      this.tell(told ? word("page_waits") : word("undelivered_page"));
      await this.pause(ASK_MS);
    }
    if (signal.aborted) return;
    if (state !== "ready") { this.tell(state === "unreadable" ? word("page_unreadable") : word("page_failed")); return; }
    const view = new Image();
    view.src = leaf.view;
    try {
      await view.decode();
    } catch {
      if (!signal.aborted) this.tell(word("undelivered_page"));
      return;
    }
    if (signal.aborted) return;
    this.tell();
    this.sheet.show(leaf, view);
    this.sheet.top();
    this.dataset["shown"] = String(leaf.page);
  }

  /** After a drawing: tell the scale, and ask for the full resolution where it would be seen. */
  private drawn(): void {
    this.scale.textContent = this.sheet.ready ? `${this.sheet.percent}%` : "";
    this.dataset["turn"] = String(this.sheet.turned);
    this.dataset["level"] = String(this.sheet.level);
    this.dataset["sharp"] = String(this.sheet.sharp);
    const leaf = this.pages[this.current];
    if (!leaf?.tiles || !this.sheet.close || this.sharpening === leaf.tiles || !this.asking) return;
    this.sharpening = leaf.tiles;
    void this.sharpen(leaf.tiles, this.asking.signal);
  }

  private async sharpen(address: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      const told = await this.ask<Standing>(address, "POST", signal);
      if (signal.aborted) return;
      if (told?.state === "ready" && told.levels && told.tile && told.width && told.height) {
        this.tell();
        this.sheet.sharpen(address, { width: told.width, height: told.height, tile: told.tile, levels: told.levels });
        return;
      }
      if (told && told.state !== "waiting") { this.tell(word("full_failed")); return; }
      this.tell(word("full_waits", { percent: Math.floor((told?.permille ?? 0) / 10) }));
      await this.pause(ASK_MS);
      if (signal.aborted) return;
    }
  }

  private tell(text = ""): void {
    this.message.hidden = text === "";
    this.message.textContent = text;
  }

  private async ask<T>(address: string, method: "GET" | "POST", signal: AbortSignal = this.leave.signal): Promise<T | undefined> {
    try {
      const answer = await fetch(address, { method, signal, headers: { Accept: "application/json" } });
      return answer.ok ? ((await answer.json()) as T) : undefined;
    } catch {
      return undefined;
    }
  }

  private async pause(ms: number): Promise<void> {
    await new Promise((done) => { window.setTimeout(done, ms); });
  }

  private jump(): void {
    const page = Number(this.field.value);
    if (Number.isInteger(page) && page >= 1 && page <= this.pages.length) this.go(page - 1);
    else this.field.value = String(this.current + 1);
    this.stage.focus();
  }

  private within(event: MouseEvent): [number, number] {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  private wheel(event: WheelEvent): void {
    if (event.ctrlKey) this.sheet.scaleBy(event.deltaY < 0 ? 1.15 : 1 / 1.15, ...this.within(event));
    else if (!this.sheet.pan(event.shiftKey ? event.deltaY : event.deltaX, event.shiftKey ? 0 : event.deltaY)) return;
    event.preventDefault();
  }

  private drag(event: PointerEvent): void {
    if (event.button !== 0) return;
    let [x, y] = [event.clientX, event.clientY];
    this.stage.setPointerCapture(event.pointerId);
    const ended = new AbortController();
    this.stage.addEventListener("pointermove", (moved) => {
      this.sheet.pan(x - moved.clientX, y - moved.clientY);
      [x, y] = [moved.clientX, moved.clientY];
    }, { signal: ended.signal });
    for (const end of ["pointerup", "pointercancel"]) this.stage.addEventListener(end, () => ended.abort(), { once: true });
  }

  /** Keys pressed in the viewer, and those pressed nowhere in particular on a page about this one item. */
  private hear(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event) || this.keys?.open) return;
    const inside = event.target instanceof Node && this.contains(event.target);
    if (inside || (alone(this) && !document.querySelector("lh-timeline") && unclaimed(event))) this.press(event, inside);
  }

  private press(event: KeyboardEvent, inside: boolean): void {
    const inStrip = event.target instanceof Element && event.target.closest(".lhs-strip") !== null;
    const pan = (x: number, y: number) => (): boolean => inside && this.sheet.pan(x, y);
    const done = (act: () => void) => (): boolean => { act(); return true; };
    const acts: Record<string, () => boolean> = {
      PageDown: done(() => this.go(this.current + 1)),
      PageUp: done(() => this.go(this.current - 1)),
      Home: done(() => this.go(0)),
      End: done(() => this.go(this.pages.length - 1)),
      "+": done(() => this.sheet.scaleBy(STEP)),
      "=": done(() => this.sheet.scaleBy(STEP)),
      "-": done(() => this.sheet.scaleBy(1 / STEP)),
      "0": done(() => this.sheet.fitTo("page")),
      "1": done(() => this.sheet.scaleTo(1)),
      w: done(() => this.sheet.fitTo("width")),
      r: done(() => this.sheet.rotate()),
      g: done(() => this.field.focus()),
      "?": done(() => this.showKeys()),
      ArrowDown: inStrip ? done(() => this.go(this.current + 1)) : pan(0, PAN),
      ArrowUp: inStrip ? done(() => this.go(this.current - 1)) : pan(0, -PAN),
      ArrowRight: pan(PAN, 0),
      ArrowLeft: pan(-PAN, 0),
    };
    if (acts[event.key.length === 1 ? event.key.toLowerCase() : event.key]?.()) event.preventDefault();
  }

  private showKeys(): void {
    if (!this.keys) {
      this.keys = keysDialog(word("keys"), word("close"), [
        [["PgUp", "PgDn"], word("key_pages")],
        [["Home", "End"], word("key_first_last")],
        [["G"], word("key_jump")],
        [["+", "-"], word("key_zoom")],
        [["1"], word("key_full_size")],
        [["W"], word("fit_width")],
        [["0"], word("fit_page")],
        [["←", "↑", "→", "↓"], word("key_pan")],
        [["R"], word("rotate")],
        [["?"], word("keys")],
      ]);
      this.append(this.keys);
    }
    this.keys.showModal();
  }
}

customElements.define("liuhen-scan", ScanView);
