// A page is about one file while its player may be in another of the same run. While that is so it is said above the page's facts, so that
// nobody copies this file's digest for that one's, and the run's list shows which file plays.

import { h } from "./dom";
import { word } from "./words";

interface Told {
  readonly id: string;
  readonly place: number;
  readonly href: string;
}

let last = "";

function tell(note: HTMLElement, { id, place, href }: Told): void {
  const own = note.dataset["elsewhere"] ?? "";
  for (const row of document.querySelectorAll<HTMLElement>("#run [data-file]")) row.classList.toggle("is-playing", row.dataset["file"] === id);
  note.hidden = id === own;
  if (note.hidden) { note.replaceChildren(); return; }
  const [before = "", after = ""] = word("elsewhere", { place, own }).split("{number}");
  note.replaceChildren(before, h("a", { href, class: "nowrap" }, id), after);
}

// A player tells its time many times a second; only another file is news.
document.addEventListener("lh-time", (event) => {
  const note = document.querySelector<HTMLElement>("[data-elsewhere]");
  const told = (event as CustomEvent<Told>).detail;
  const now = `${note?.dataset["elsewhere"]} ${told.id}`;
  if (!note || now === last) return;
  last = now;
  tell(note, told);
});
