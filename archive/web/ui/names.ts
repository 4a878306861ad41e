// Names of files as a page may show them: what reorders or hides text is written out, so that a name looks like what it is. The same
// writing as archive.core.manifest.portable_name, which a name comes back in once the archive has it.

const LITERAL_PERCENT = /%(?=[0-9A-Fa-f]{2})/g;
/** Control characters, lone surrogates, invisible ones, and those that reorder text (UAX #9). */
const UNSHOWN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\p{Surrogate}/gu;
const UTF8 = new TextEncoder();

/** A text that a person or a file gave, with the bytes of what cannot be shown as `%XX`. */
export function plain(text: string): string {
  return text.replace(UNSHOWN, (one) => Array.from(UTF8.encode(one), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""));
}

/** A file's name or path; a `%` of its own that reads like such a byte becomes `%25`. */
export function shownName(name: string): string {
  return plain(name.replace(LITERAL_PERCENT, "%25").replaceAll("\\", "%5C"));
}
