// Where a recording is to be had, what the archive says when it does not deliver, and how it is told what is played.
//
// The archive writes a replay down with the first byte it sends. What a player fetches before it plays carries `?ahead`: the archive
// gives only a file's ends for that and writes it down as sent ahead. When such a file is then played, `announce` says so, for all its
// bytes may have come already.

export interface Source {
  readonly label: string;
  readonly url: string;
}

/** The code with which the archive refuses an address, or nothing where it delivers. */
export async function refusal(url: string, signal: AbortSignal): Promise<string | undefined> {
  const answer = await fetch(url, { headers: { Range: "bytes=0-0" }, signal }).catch(() => undefined);
  if (!answer) return "unavailable";
  if (answer.ok) { void answer.body?.cancel(); return undefined; }
  const problem = (await answer.json().catch(() => undefined)) as { code?: string } | undefined;
  return problem?.code ?? String(answer.status);
}

/** The address from which a file's ends may be had before it is played. */
export function aheadOf(url: string): string {
  return `${url}?ahead=1`;
}

const TRIES = 3;
const AGAIN_MS = 500;

/** Tells the archive that a file which came ahead is played now; whether it heard. The request outlives the page. */
export async function announce(url: string): Promise<boolean> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const answer = await fetch(url, { method: "HEAD", keepalive: true }).catch(() => undefined);
    if (answer?.ok) return true;
    await new Promise((resolve) => { window.setTimeout(resolve, AGAIN_MS); });
  }
  return false;
}
