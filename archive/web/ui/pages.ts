// <lh-pages>: a document or a photo as pages. data-pages [{number, url, thumb, label}]; without scripts the images inside remain.

import { alone, h, iconButton, keysDialog, typing, unclaimed } from "./dom";
import { word } from "./words";

interface Page {
  readonly number: number;
  readonly url: string;
  readonly thumb: string;
}

type Fit = "width" | "page" | "free";

const STEP = 1.25;
const LEAST = 0.1;
const MOST = 8;

export class PagesView extends HTMLElement {
  private pages: readonly Page[] = [];
  private current = 0;
  private fit: Fit = "page";
  private zoom = 1;
  private turn = 0;
  private keys: HTMLDialogElement | undefined;
  private built = false;
  private readonly leave = new AbortController();
  private readonly strip = h("div", { class: "lhd-strip", role: "listbox" });
  private readonly stage = h("div", { class: "lhd-stage", tabindex: 0 });
  private readonly sheet = h("img", { class: "lhd-sheet", draggable: "false" });
  private readonly place = h("span", { class: "lhd-place" });
  private readonly scale = h("span", { class: "lhd-scale" });

  connectedCallback(): void {
    if (this.built) return;
    this.built = true;
    this.pages = JSON.parse(this.dataset["pages"] ?? "[]") as Page[];
    if (this.pages.length === 0) return;
    this.replaceChildren();
    this.classList.add("lhd");
    this.strip.setAttribute("aria-label", word("pages"));
    this.stage.setAttribute("aria-label", word("page_keys"));
    this.strip.hidden = this.pages.length < 2;
    for (const [index, page] of this.pages.entries()) this.strip.append(this.thumb(page, index));
    const help = h("button", { type: "button", class: "lhp-button lhp-help", "aria-label": word("keys"), title: `${word("keys")} ( ? )` }, "?");
    help.addEventListener("click", () => this.showKeys());
    const several = this.pages.length > 1;
    const bar = h("div", { class: "lhp-bar" },
      ...(several ? [iconButton("left", `${word("page_back")} ( PgUp )`, () => this.go(this.current - 1), "lhp-button"), this.place, iconButton("right", `${word("page_forward")} ( PgDn )`, () => this.go(this.current + 1), "lhp-button")] : []),
      h("span", { class: "lhp-space" }),
      iconButton("minus", `${word("zoom_out")} ( - )`, () => this.scaleBy(1 / STEP), "lhp-button"),
      this.scale,
      iconButton("plus", `${word("zoom_in")} ( + )`, () => this.scaleBy(STEP), "lhp-button"),
      iconButton("fit", `${word("fit_width")} ( W )`, () => this.fitTo("width"), "lhp-button"),
      iconButton("whole", `${word("fit_page")} ( 0 )`, () => this.fitTo("page"), "lhp-button"),
      iconButton("rotate", `${word("rotate")} ( R )`, () => this.rotate(), "lhp-button"),
      help,
    );
    this.stage.append(this.sheet);
    this.append(h("div", { class: "lhd-body" }, this.strip, this.stage), bar);
    document.addEventListener("keydown", (event) => this.hear(event), { signal: this.leave.signal });
    this.sheet.addEventListener("load", () => this.layout());
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("pointerdown", (event) => this.drag(event));
    new ResizeObserver(() => this.layout()).observe(this.stage);
    this.go(0);
  }

  disconnectedCallback(): void {
    this.leave.abort();
  }

  private thumb(page: Page, index: number): HTMLElement {
    const picture = h("img", { src: page.thumb, alt: "", loading: "lazy", draggable: "false" });
    const button = h("button", { type: "button", class: "lhd-thumb", role: "option", "aria-label": word("page", { number: page.number }), tabindex: -1 }, picture, h("span", {}, String(page.number)));
    button.addEventListener("click", () => this.go(index));
    return button;
  }

  private go(index: number): void {
    const page = this.pages[index];
    if (!page) return;
    this.current = index;
    this.sheet.src = page.url;
    this.sheet.alt = word("page", { number: page.number });
    this.place.textContent = word("page_of", { number: page.number, count: this.pages.length });
    for (const [position, thumb] of [...this.strip.children].entries()) {
      thumb.setAttribute("aria-selected", String(position === index));
      (thumb as HTMLElement).tabIndex = position === index ? 0 : -1;
    }
    this.strip.children[index]?.scrollIntoView({ block: "nearest" });
    this.stage.scrollTop = 0;
  }

  private fitTo(fit: Fit): void {
    this.fit = fit;
    this.layout();
  }

  private rotate(): void {
    this.turn = (this.turn + 90) % 360;
    this.layout();
  }

  private scaleBy(factor: number): void {
    this.fit = "free";
    this.zoom = Math.min(MOST, Math.max(LEAST, this.zoom * factor));
    this.layout();
  }

  private wheel(event: WheelEvent): void {
    if (!event.ctrlKey) return;
    event.preventDefault();
    this.scaleBy(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }

  private layout(): void {
    const { naturalWidth, naturalHeight } = this.sheet;
    if (naturalWidth === 0 || this.stage.clientWidth === 0) return;
    const turned = this.turn % 180 !== 0;
    const width = turned ? naturalHeight : naturalWidth;
    const height = turned ? naturalWidth : naturalHeight;
    const roomX = this.stage.clientWidth - 24;
    const roomY = this.stage.clientHeight - 24;
    if (this.fit === "width") this.zoom = roomX / width;
    if (this.fit === "page") this.zoom = Math.min(roomX / width, roomY / height);
    const shownWidth = naturalWidth * this.zoom;
    const shownHeight = naturalHeight * this.zoom;
    const shift = turned ? (shownHeight - shownWidth) / 2 : 0;
    this.sheet.style.width = `${shownWidth}px`;
    this.sheet.style.height = `${shownHeight}px`;
    this.sheet.style.margin = `${-shift}px ${shift}px`;
    this.sheet.style.transform = `rotate(${this.turn}deg)`;
    this.scale.textContent = `${Math.round(this.zoom * 100)}%`;
  }

  private drag(event: PointerEvent): void {
    if (event.button !== 0) return;
    const { scrollLeft, scrollTop } = this.stage;
    this.stage.setPointerCapture(event.pointerId);
    const move = (moved: PointerEvent): void => {
      this.stage.scrollLeft = scrollLeft - (moved.clientX - event.clientX);
      this.stage.scrollTop = scrollTop - (moved.clientY - event.clientY);
    };
    this.stage.addEventListener("pointermove", move);
    this.stage.addEventListener("pointerup", () => this.stage.removeEventListener("pointermove", move), { once: true });
  }

  /** Keys pressed in the viewer, and those pressed nowhere in particular on a page about this one item. */
  private hear(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event) || this.keys?.open) return;
    const inside = event.target instanceof Node && this.contains(event.target);
    if (inside || (alone(this) && !document.querySelector("lh-timeline") && unclaimed(event))) this.press(event);
  }

  private press(event: KeyboardEvent): void {
    const inStrip = (event.target as Element).closest(".lhd-strip") !== null;
    const acts: Record<string, () => void> = {
      PageDown: () => this.go(this.current + 1),
      PageUp: () => this.go(this.current - 1),
      Home: () => this.go(0),
      End: () => this.go(this.pages.length - 1),
      "+": () => this.scaleBy(STEP),
      "=": () => this.scaleBy(STEP),
      "-": () => this.scaleBy(1 / STEP),
      "0": () => this.fitTo("page"),
      w: () => this.fitTo("width"),
      r: () => this.rotate(),
      "?": () => this.showKeys(),
    };
    if (inStrip) {
      acts["ArrowDown"] = (): void => { this.go(this.current + 1); this.focusThumb(); };
      acts["ArrowUp"] = (): void => { this.go(this.current - 1); this.focusThumb(); };
    }
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  private focusThumb(): void {
    (this.strip.children[this.current] as HTMLElement | undefined)?.focus();
  }

  private showKeys(): void {
    if (!this.keys) {
      this.keys = keysDialog(word("keys"), word("close"), [
        [["PgUp", "PgDn"], word("key_pages")],
        [["+", "-"], word("key_zoom")],
        [["W"], word("fit_width")],
        [["0"], word("fit_page")],
        [["R"], word("rotate")],
        [["?"], word("keys")],
      ]);
      this.append(this.keys);
    }
    this.keys.showModal();
  }
}

customElements.define("lh-pages", PagesView);
