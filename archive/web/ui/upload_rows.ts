// The list of an upload page: a line for each file, drawn anew only where something changed.

import { h, icon } from "./dom";
import { plain, shownName } from "./names";
import type { Refusal, State, Transfer } from "./sending";
import { word } from "./words";

/** How a state looks: amber waits, red is wrong, green is verified and nothing else, everything else is grey. */
const LOOKS: Readonly<Record<State, string>> = {
  staged: "is-grey", queued: "is-grey", hashing: "is-grey", sending: "is-grey", waiting: "is-waiting", paused: "is-grey",
  stored: "is-stored", verified: "is-verified", flawed: "is-flaw", refused: "is-flaw", broken: "is-waiting", cancelled: "is-grey",
};

const PHOTO = /\.(jpe?g|png|gif|bmp|webp|heic|heif|tiff?)$/i;
const LETTERS: Readonly<Record<string, string>> = { LX: "recording", ZP: "photo", LY: "audio", WS: "document" };

export function badge(state: State): HTMLElement {
  return h("span", { class: `lh-badge ${LOOKS[state]}` }, word(`state_${state}`));
}

export interface Acts {
  cancel(transfer: Transfer): void;
  retry(transfer: Transfer): void;
  takeAway(transfer: Transfer): void;
}

export interface Words {
  readonly kinds: Readonly<Record<string, string>>;
  readonly refusals: Readonly<Record<string, string>>;
  readonly stages: Readonly<Record<string, string>>;
}

/** A size as every page shows it: powers of a thousand, one place below a hundred, cut and not rounded. */
export function bytes(size: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let tenths = Math.floor(size) * 10;
  let unit = 0;
  while (tenths >= 10_000 && unit < units.length - 1) {
    tenths = Math.floor(tenths / 1000);
    unit += 1;
  }
  return `${unit === 0 || tenths >= 1000 ? Math.floor(tenths / 10) : (tenths / 10).toFixed(1)} ${units[unit]}`;
}

export function lasting(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

/** What a browser can show and a scanner writes. */
export function picture(file: File): boolean {
  return file.type.startsWith("image/") || PHOTO.test(file.name);
}

/** A guess by name and type until the archive has looked at the bytes, whose kind the number tells. */
function kind(transfer: Transfer): string | undefined {
  const letters = /-(LX|ZP|LY|WS)-/.exec(transfer.number ?? "")?.[1];
  if (letters) return LETTERS[letters];
  if (transfer.leaf) return "document";
  if (picture(transfer.file)) return "photo";
  const type = transfer.file.type.split("/")[0] ?? "";
  if (type === "video" || type === "audio") return type === "video" ? "recording" : "audio";
  return /\.(pdf|ofd|docx?|xlsx?|wps)$/i.test(transfer.file.name) ? "document" : undefined;
}

export function link(number: string): HTMLElement {
  return h("a", { href: `/items/${encodeURIComponent(number)}`, class: "nowrap" }, number);
}

function copied(digest: string): HTMLElement {
  const copy = h("button", { type: "button", class: "lh-copy", "data-copy": digest, title: word("copy_digest"), "aria-label": word("copy_digest") }, icon("copy"));
  return h("span", { class: "lh-digest" }, h("span", { class: "mono", title: digest }, `${digest.slice(0, 8)}…${digest.slice(-8)}`), copy);
}

export class Row {
  readonly line = h("tr", { class: "lhu-row" });
  readonly under = h("tr", { class: "lh-under", hidden: true });
  readonly box = h("input", { type: "checkbox" });
  private readonly name = h("div", { class: "lh-named" });
  private readonly kind = h("td", { class: "nowrap" });
  private readonly bar = h("progress", { max: 1000 });
  private readonly pace = h("span", { class: "soft nowrap" });
  private readonly state = h("td", { class: "nowrap" });
  private readonly number = h("td", { class: "nowrap" });
  private readonly digest = h("td");
  private readonly acts = h("td", { class: "num nowrap" });
  private readonly why = h("td", { colspan: 8 });
  private shown = "";

  constructor(readonly transfer: Transfer, private readonly act: Acts, private readonly words: Words) {
    const { file, path } = transfer;
    this.box.setAttribute("aria-label", word("choose_row", { name: shownName(file.name) }));
    this.bar.setAttribute("aria-label", shownName(file.name));
    this.name.append(h("span", { class: "clip", title: shownName(path) }, shownName(file.name)));
    this.line.append(
      h("td", { class: "lhu-box" }, this.box),
      h("td", { class: "lh-name-cell" }, this.name),
      h("td", { class: "num nowrap" }, bytes(file.size)),
      this.kind,
      h("td", { class: "lhu-pace" }, h("div", {}, this.bar, this.pace)),
      this.state,
      this.number,
      this.digest,
      this.acts,
    );
    this.under.append(h("td"), this.why);
    this.draw();
  }

  draw(): void {
    this.move();
    const { transfer } = this;
    const now = [transfer.state, transfer.number, transfer.same, transfer.digest, transfer.leaf?.page, transfer.leaf?.pages, transfer.refusal?.code, transfer.resumed].join("|");
    if (now === this.shown) return;
    this.shown = now;
    this.line.dataset["state"] = transfer.state;
    this.box.disabled = transfer.state !== "staged" || transfer.leaf !== undefined;
    this.box.hidden = this.box.disabled;
    if (this.box.disabled) this.box.checked = false;
    this.kind.textContent = this.words.kinds[kind(transfer) ?? ""] ?? "–";
    this.state.replaceChildren(badge(transfer.state));
    this.number.replaceChildren(transfer.number ? link(transfer.number) : h("span", { class: "soft" }, "–"));
    this.digest.replaceChildren(transfer.digest ? copied(transfer.digest) : h("span", { class: "soft" }, "–"));
    this.name.querySelector(".lh-tag")?.remove();
    if (transfer.leaf) this.name.prepend(h("span", { class: "lh-tag" }, word("leaf", { page: transfer.leaf.page, pages: transfer.leaf.pages })));
    this.buttons();
    this.explain();
  }

  /** What moves many times a second, and nothing else. */
  private move(): void {
    const { transfer } = this;
    const { state, file } = transfer;
    const size = Math.max(1, file.size);
    const part = state === "hashing" ? transfer.hashed / size : transfer.over ? 1 : Math.min(1, transfer.sent / size);
    const going = ["hashing", "sending", "waiting", "paused", "broken"].includes(state) && !(state === "paused" && part === 0);
    this.bar.hidden = !going;
    this.bar.value = Math.round(part * 1000);
    this.bar.classList.toggle("is-hash", state === "hashing");
    const percent = `${Math.floor(part * 100)}%`;
    const text = !going ? "" : transfer.speed > 0 && state === "sending" ? `${percent} · ${bytes(transfer.speed)}/s` : percent;
    if (this.pace.textContent !== text) this.pace.textContent = text;
  }

  private buttons(): void {
    const { transfer, act } = this;
    const button = (name: string, label: string, does: (one: Transfer) => void): HTMLElement => {
      const made = h("button", { type: "button", class: "lh-copy", title: label, "aria-label": `${label} ${shownName(transfer.file.name)}` }, icon(name));
      made.addEventListener("click", () => does(transfer));
      return made;
    };
    this.acts.replaceChildren();
    if (["refused", "broken"].includes(transfer.state) || (transfer.state === "cancelled" && transfer.leaf)) this.acts.append(button("again", word("send_again"), (one) => act.retry(one)));
    if (transfer.busy || transfer.state === "paused" || transfer.state === "broken") this.acts.append(button("close", word("cancel_one"), (one) => act.cancel(one)));
    else if (!transfer.leaf) this.acts.append(button("close", word("remove_row"), (one) => act.takeAway(one)));
  }

  private explain(): void {
    const { transfer } = this;
    this.why.replaceChildren();
    const more = (...parts: (Node | string)[]): void => { this.why.append(h("div", { class: "lhu-why" }, ...parts)); };
    if (transfer.refusal) this.why.append(h("div", { class: transfer.state === "refused" ? "lhu-why lh-why" : "lhu-why" }, this.said(transfer.refusal)));
    if (transfer.same) more(word("same_bytes"), " ", link(transfer.same));
    if (transfer.resumed && !transfer.over) more(word("goes_on", { where: this.where() }));
    this.under.hidden = this.why.childElementCount === 0;
  }

  private where(): string {
    const { case: number, stage } = this.transfer.intent;
    if (!number) return word("no_case");
    return stage ? `${number} · ${this.words.stages[stage] ?? stage}` : number;
  }

  private said(refusal: Refusal): string {
    const what = refusal.facts["what"];
    const sentence = this.words.refusals[`${refusal.code}.${what}`] ?? this.words.refusals[refusal.code] ?? word("refused_otherwise", { code: refusal.code });
    return sentence.replace(/\{(\w+)\}/g, (whole, name: string) => {
      const fact = refusal.facts[name];
      return fact === undefined ? whole : typeof fact === "number" ? bytes(fact) : plain(fact);
    });
  }
}
