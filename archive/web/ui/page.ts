// What every page shares: copy buttons, the age of a time on hover, filter forms that leave empty fields out of the address, the search key.

import "./confirm";
import { typing } from "./dom";
import "./elsewhere";
import { language, word } from "./words";

const AGES: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];

function age(us: number): string {
  const seconds = (us / 1000 - Date.now()) / 1000;
  const [unit, length] = AGES.find(([, one]) => Math.abs(seconds) >= one) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(language(), { numeric: "always" }).format(Math.round(seconds / length), unit);
}

async function copy(button: HTMLElement): Promise<void> {
  await navigator.clipboard.writeText(button.dataset["copy"] ?? "");
  const before = button.title;
  button.title = word("copied");
  button.classList.add("lh-copied");
  const status = document.getElementById("lh-status");
  if (status) status.textContent = word("copied");
  window.setTimeout(() => {
    button.title = before;
    button.classList.remove("lh-copied");
  }, 1600);
}

// A form that comes back refused may stand far below the fold: its reason is brought to the reader, once what stands above has its height.
window.addEventListener("load", () => {
  const refused = document.querySelector<HTMLElement>("[data-refused]");
  refused?.scrollIntoView({ block: "center" });
  refused?.focus({ preventScroll: true });
});

document.addEventListener("click", (event) => {
  const button = (event.target as Element).closest<HTMLElement>("[data-copy]");
  if (button) void copy(button);
  const opener = (event.target as Element).closest<HTMLElement>("[data-open]");
  if (opener) (document.getElementById(opener.dataset["open"] ?? "") as HTMLDialogElement | null)?.showModal();
});

// The server writes the UTC time into the title; how long ago that was is true only at the moment of looking.
document.addEventListener("mouseover", (event) => {
  const time = (event.target as Element).closest<HTMLTimeElement>("time[data-us]");
  if (!time) return;
  time.dataset["utc"] ??= time.title;
  time.title = `${time.dataset["utc"]}  ·  ${age(Number(time.dataset["us"]))}`;
});

document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  if (form.method.toLowerCase() !== "get") return;
  for (const field of form.querySelectorAll<HTMLInputElement | HTMLSelectElement>("input[name], select[name]")) if (field.value === "") field.disabled = true;
  window.setTimeout(() => { for (const field of form.elements) (field as HTMLInputElement).disabled = false; });
});

document.addEventListener("change", (event) => {
  const field = (event.target as Element).closest<HTMLSelectElement>("[data-submit]");
  field?.form?.requestSubmit();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || typing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector<HTMLInputElement>("#lh-search");
  if (!search) return;
  event.preventDefault();
  search.focus();
  search.select();
});

// J and K walk the rows of a list, Enter opens; the player and its kin take these keys for themselves where they stand.
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || typing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key !== "j" && event.key !== "k") return;
  const links = [...document.querySelectorAll<HTMLAnchorElement>("[data-rows] tbody tr a[data-row]")];
  if (links.length === 0) return;
  const at = links.indexOf(document.activeElement as HTMLAnchorElement);
  const next = links[Math.min(links.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)))];
  next?.focus();
});

// When a job has made something new, the progress fragment names its address: the player takes it up without a reload.
document.addEventListener("htmx:afterSettle", () => {
  const fresh = document.querySelector<HTMLElement>("[data-fresh]");
  const player = document.querySelector<HTMLElement>("lh-player");
  if (!fresh || !player) return;
  const made = JSON.parse(fresh.dataset["fresh"] ?? "{}") as Record<string, unknown>;
  for (const [name, value] of Object.entries(made)) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    if (player.dataset[name] !== text) player.dataset[name] = text;
  }
});
