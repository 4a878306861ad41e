// The page carries every sentence the components may say, already in the reader's language: the gettext catalogues are
// the only place where words live. A missing key is shown as the key, so that a test can see it.

type Words = Readonly<Record<string, string>>;

let known: Words | undefined;

function load(): Words {
  const holder = document.getElementById("lh-words");
  return holder?.dataset["words"] ? (JSON.parse(holder.dataset["words"]) as Words) : {};
}

/** The sentence named `key`, with `{name}` replaced from `facts`. */
export function word(key: string, facts: Readonly<Record<string, string | number>> = {}): string {
  known ??= load();
  const sentence = known[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name: string) => (name in facts ? String(facts[name]) : whole));
}

/** The reader's language as the page declares it. */
export function language(): string {
  return document.documentElement.lang || "zh-CN";
}
