// Files out of what was dropped or chosen, folders walked to their ends.

export interface Chosen {
  readonly file: File;
  /** The path below the folder that was chosen, or the name alone. */
  readonly path: string;
}

/** Files the systems leave behind by themselves; nobody chose them. */
const LEFT = /(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini|\._[^/]*)$/i;

function of(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((take, fail) => entry.file(take, fail));
}

function batch(reader: FileSystemDirectoryReader): Promise<FileSystemEntry[]> {
  return new Promise((take, fail) => reader.readEntries(take, fail));
}

async function walk(entry: FileSystemEntry, found: Chosen[]): Promise<void> {
  const path = entry.fullPath.replace(/^\//, "");
  if (LEFT.test(path)) return;
  if (entry.isFile) {
    found.push({ file: await of(entry as FileSystemFileEntry), path });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  // A reader gives a hundred entries at a time, and none at its end.
  for (let some = await batch(reader); some.length > 0; some = await batch(reader)) for (const each of some) await walk(each, found);
}

function ordered(found: Chosen[]): Chosen[] {
  return found.sort((one, other) => one.path.localeCompare(other.path, undefined, { numeric: true }));
}

/** What a drop holds; the transfer is empty once the event is over, so its entries are taken at once. */
export async function dropped(transfer: DataTransfer): Promise<Chosen[]> {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const found: Chosen[] = [];
  for (const { entry, file } of entries) {
    if (entry?.isDirectory) await walk(entry, found);
    else if (file && !LEFT.test(file.name)) found.push({ file, path: file.name });
  }
  return ordered(found);
}

/** What a file field holds. */
export function chosen(field: HTMLInputElement): Chosen[] {
  const found = [...(field.files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  field.value = "";
  return ordered(found.filter(({ path }) => !LEFT.test(path)));
}
