// The few helpers that keep the components free of string-built HTML: nothing here ever parses markup.

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;
type Child = Node | string | undefined;

function fill(element: Element, attributes: Attributes, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== undefined) element.append(child);
}

/** An HTML element with attributes and children; `undefined` and `false` attributes are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/** The same in the SVG namespace. */
export function s<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, attributes, children);
  return element;
}

// Outlines from Tabler Icons 3 (MIT).
const ICONS: Readonly<Record<string, readonly string[]>> = {
  play: ["M7 4v16l13 -8z"],
  pause: ["M6 6a1 1 0 0 1 1 -1h2a1 1 0 0 1 1 1v12a1 1 0 0 1 -1 1h-2a1 1 0 0 1 -1 -1z", "M14 6a1 1 0 0 1 1 -1h2a1 1 0 0 1 1 1v12a1 1 0 0 1 -1 1h-2a1 1 0 0 1 -1 -1z"],
  back: ["M20 5v14l-12 -7z", "M4 5l0 14"],
  forward: ["M4 5v14l12 -7z", "M20 5l0 14"],
  volume: ["M15 8a5 5 0 0 1 0 8", "M17.7 5a9 9 0 0 1 0 14", "M6 15h-2a1 1 0 0 1 -1 -1v-4a1 1 0 0 1 1 -1h2l3.5 -4.5a.8 .8 0 0 1 1.5 .5v14a.8 .8 0 0 1 -1.5 .5l-3.5 -4.5"],
  muted: ["M6 15h-2a1 1 0 0 1 -1 -1v-4a1 1 0 0 1 1 -1h2l3.5 -4.5a.8 .8 0 0 1 1.5 .5v14a.8 .8 0 0 1 -1.5 .5l-3.5 -4.5", "M16 10l4 4m0 -4l-4 4"],
  full: ["M4 8v-2a2 2 0 0 1 2 -2h2", "M4 16v2a2 2 0 0 0 2 2h2", "M16 4h2a2 2 0 0 1 2 2v2", "M16 20h2a2 2 0 0 0 2 -2v-2"],
  plus: ["M12 5l0 14", "M5 12l14 0"],
  minus: ["M5 12l14 0"],
  left: ["M15 6l-6 6l6 6"],
  right: ["M9 6l6 6l-6 6"],
  fit: ["M4 12l16 0", "M7 9l-3 3l3 3", "M17 9l3 3l-3 3"],
  whole: ["M12 4l0 16", "M9 7l3 -3l3 3", "M9 17l3 3l3 -3"],
  rotate: ["M19.95 11a8 8 0 1 0 -.5 4m.5 5v-5h-5"],
  close: ["M18 6l-12 12", "M6 6l12 12"],
  again: ["M20 11a8.1 8.1 0 0 0 -15.5 -2m-.5 -4v4h4", "M4 13a8.1 8.1 0 0 0 15.5 2m.5 4v-4h-4"],
  copy: ["M7 9.667a2.667 2.667 0 0 1 2.667 -2.667h8.666a2.667 2.667 0 0 1 2.667 2.667v8.666a2.667 2.667 0 0 1 -2.667 2.667h-8.666a2.667 2.667 0 0 1 -2.667 -2.667l0 -8.666", "M4.012 16.737a2.005 2.005 0 0 1 -1.012 -1.737v-10c0 -1.1 .9 -2 2 -2h10c.75 0 1.158 .385 1.5 1"],
};

/** A Tabler outline as inline SVG; decoration only, so the control around it must carry the name. */
export function icon(name: string): SVGSVGElement {
  const svg = s("svg", { class: "lh-icon", viewBox: "0 0 24 24", width: 18, height: 18, "aria-hidden": "true", focusable: "false" });
  for (const d of ICONS[name] ?? []) svg.append(s("path", { d }));
  return svg;
}

/** A button that shows an icon and is named for those who do not see it. */
export function iconButton(name: string, label: string, act: () => void, classes = "lh-button"): HTMLButtonElement {
  const button = h("button", { type: "button", class: classes, title: label, "aria-label": label }, icon(name));
  button.addEventListener("click", act);
  return button;
}

/** A key as it is printed on the keyboard. */
export function key(...names: string[]): DocumentFragment {
  const keys = document.createDocumentFragment();
  for (const name of names) keys.append(h("kbd", {}, name));
  return keys;
}

/** A dialog listing keys; opened by `?`, closed by Escape, focus goes back where it was. */
export function keysDialog(title: string, close: string, rows: readonly (readonly [readonly string[], string])[]): HTMLDialogElement {
  const table = h("table", { class: "lh-keys" });
  for (const [keys, meaning] of rows) table.append(h("tr", {}, h("th", { scope: "row" }, key(...keys)), h("td", {}, meaning)));
  const dialog = h("dialog", { class: "lh-dialog", "aria-label": title });
  const shut = iconButton("close", close, () => dialog.close(), "lh-plain");
  dialog.append(h("header", {}, h("h2", {}, title), shut), table);
  return dialog;
}

/** Whether a key press belongs to a field the person is typing in. */
export function typing(event: KeyboardEvent): boolean {
  const target = event.target;
  return target instanceof HTMLElement && target.closest("input:not([type=range]), textarea, select, [contenteditable]") !== null;
}

/** Whether a key press outside a component is free for it: no field, control or link has the focus, and no dialog stands open. */
export function unclaimed(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || document.querySelector("dialog[open]")) return false;
  return event.target instanceof Element && event.target.closest("a[href], button, input, textarea, select, summary, audio, video, [contenteditable], [role=button], [tabindex]:not([tabindex='-1'])") === null;
}

/** Whether a component is what its page is about, so that keys pressed nowhere in particular are meant for it. */
export function alone(component: Element): boolean {
  const all = document.querySelectorAll("lh-player, liuhen-scan");
  return all.length === 1 && all[0] === component;
}

/** Sizes a canvas to its box in device pixels and gives its context scaled to CSS pixels. */
export function sized(canvas: HTMLCanvasElement): { context: CanvasRenderingContext2D; width: number; height: number } | undefined {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const context = canvas.getContext("2d");
  if (!context || width === 0 || height === 0) return undefined;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

/** Shows stretches of a length (buffered, played) as one child element each. */
export function drawRanges(holder: HTMLElement, stretches: readonly (readonly [start: number, end: number])[], length: number): void {
  while (holder.children.length > stretches.length) holder.lastElementChild?.remove();
  while (holder.children.length < stretches.length) holder.append(h("i"));
  const whole = length || 1;
  for (const [index, [start, end]] of stretches.entries()) {
    const piece = holder.children[index] as HTMLElement;
    piece.style.left = `${(start / whole) * 100}%`;
    piece.style.width = `${((end - start) / whole) * 100}%`;
  }
}
