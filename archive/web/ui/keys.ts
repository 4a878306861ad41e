// The player's keys: which of them are meant for it, and what they are called.

import { alone, type keysDialog, typing, unclaimed } from "./dom";
import { word } from "./words";

/** The keys that reach the player from a timeline beside it, which has its own use for the others. */
const SHARED = [" ", "j", "k", "l"];

/** Whether a key is meant for this player: pressed inside it, or on a page where it is the only one and nothing else wants it. */
export function meant(event: KeyboardEvent, player: HTMLElement, keysOpen: boolean): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event)) return false;
  const target = event.target instanceof Element ? event.target : document.body;
  if (player.contains(target)) return !keysOpen;
  if (!alone(player)) return false;
  const timeline = document.querySelector("lh-timeline");
  if (timeline && !SHARED.includes(event.key.length === 1 ? event.key.toLowerCase() : event.key)) return false;
  const bar = target.closest("lh-timeline .lht-entry") !== null && !event.defaultPrevented && !document.querySelector("dialog[open]");
  return bar || unclaimed(event);
}

/** What the dialog of keys lists. */
export function playerKeys(joined: boolean): Parameters<typeof keysDialog>[2] {
  return [
    [[word("space_key")], word("key_play")],
    [["J", "K", "L"], word("key_shuttle")],
    [["←", "→"], word("key_arrows")],
    [["Shift", "←", "→"], word("key_small")],
    [[",", "."], word("key_frames")],
    ...(joined ? [[["PageUp", "PageDown"], word("key_files")] as [readonly string[], string]] : []),
    [["[", "]"], word("speed")],
    [["Home", "End"], word("key_ends")],
    [["F"], word("full_screen")],
    [["?"], word("keys")],
  ];
}
