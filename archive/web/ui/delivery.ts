// Where a recording is to be had, and what the archive says when it does not deliver.

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
