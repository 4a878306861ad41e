// Asks the archive what became of files that it took in and of documents that wait for pages, until there is nothing left to ask.

export interface Told {
  readonly items: Readonly<Record<string, { readonly state: "stored" | "verified" | "flawed"; readonly same: string | null }>>;
  readonly papers: Readonly<Record<string, { readonly arrived: readonly number[]; readonly number: string | null }>>;
}

const SOON_MS = 1000;
const LATER_MS = 5000;
const PATIENT = 60;
/** Names in one address; the oldest are asked for first. */
const MOST = 100;

export class States {
  private asked = 0;

  constructor(private readonly open: () => { items: string[]; papers: string[] }, private readonly hear: (told: Told) => void) {}

  run(): void {
    window.setTimeout(() => void this.ask(), this.asked < PATIENT ? SOON_MS : LATER_MS);
  }

  private async ask(): Promise<void> {
    const { items, papers } = this.open();
    if (items.length + papers.length > 0) {
      this.asked += 1;
      const fields = [...items.slice(0, MOST).map((number) => ["n", number]), ...papers.slice(0, MOST).map((id) => ["p", id])];
      const answer = await fetch(`/upload/states?${new URLSearchParams(fields)}`, { headers: { Accept: "application/json" } }).catch(() => undefined);
      // Whoever was signed out meanwhile is led to the sign-in page, which is no JSON.
      if (answer?.ok && answer.headers.get("content-type")?.includes("json")) this.hear((await answer.json()) as Told);
    } else this.asked = 0;
    this.run();
  }
}
