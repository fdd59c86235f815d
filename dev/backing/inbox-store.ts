import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import PostalMime, { type Address, type Email } from "postal-mime";

/** The mails of the development inbox: one `.eml` file each, the newest 1,000, found again after a restart. */

/** More than anybody reads; the oldest go first. */
const KEPT = 1_000;
/** Characters of the text that a list shows. */
const SNIPPET = 250;

export interface MailAddress {
  readonly Name: string;
  readonly Address: string;
}

/** One line of the list, in Mailpit's words. */
export interface MessageSummary {
  readonly ID: string;
  readonly MessageID: string;
  readonly Read: boolean;
  readonly From: MailAddress;
  readonly To: readonly MailAddress[];
  readonly Cc: readonly MailAddress[];
  readonly Bcc: readonly MailAddress[];
  readonly ReplyTo: readonly MailAddress[];
  readonly Subject: string;
  readonly Created: string;
  readonly Tags: readonly string[];
  /** Bytes. */
  readonly Size: number;
  readonly Attachments: number;
  readonly Snippet: string;
}

interface Entry {
  readonly summary: MessageSummary;
  /** What a search looks through, in lower case. */
  readonly words: string;
}

export interface Attachment {
  readonly PartID: string;
  readonly FileName: string;
  readonly ContentType: string;
  readonly ContentID: string;
  readonly Size: number;
  readonly bytes: Uint8Array;
}

export interface Message {
  readonly summary: MessageSummary;
  readonly text: string;
  readonly html: string;
  readonly date: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly attachments: readonly Attachment[];
}

export class InboxStore {
  /** Oldest first. */
  readonly #entries = new Map<string, Entry>();
  readonly #read = new Set<string>();
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(directory: string): Promise<InboxStore> {
    await mkdir(directory, { recursive: true });
    const store = new InboxStore(directory);
    const names = (await readdir(directory)).filter((name) => name.endsWith(".eml")).sort();
    for (const name of names.slice(-KEPT)) {
      const id = name.slice(0, -".eml".length);
      const path = join(directory, name);
      const raw = await readFile(path);
      store.#entries.set(id, await describe(id, raw, (await stat(path)).mtime, []));
    }
    for (const name of names.slice(0, -KEPT)) await rm(join(directory, name), { force: true });
    return store;
  }

  /** Keeps a mail; when this resolves it is in its file, whole. `recipients` are the envelope's: they may not be in it. */
  async add(raw: Uint8Array, recipients: readonly string[]): Promise<string> {
    // Sorts by time, so that the files' order is the order of arrival.
    const id = Bun.randomUUIDv7().replaceAll("-", "");
    const entry = await describe(id, raw, new Date(), recipients);
    const path = this.#path(id);
    await writeFile(`${path}.new`, raw);
    await rename(`${path}.new`, path);
    this.#entries.set(id, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= KEPT) break;
      await this.remove(oldest);
    }
    return id;
  }

  /** Newest first; all words of the query have to occur. */
  find(query: string): MessageSummary[] {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean).map(term);
    const found: MessageSummary[] = [];
    for (const { summary, words: text } of this.#entries.values()) {
      if (words.every((matches) => matches(summary, text))) found.push(this.#shown(summary));
    }
    return found.toReversed();
  }

  get unread(): number {
    return this.#entries.size - this.#read.size;
  }

  get newest(): string | undefined {
    return [...this.#entries.keys()].at(-1);
  }

  async raw(id: string): Promise<Uint8Array | undefined> {
    return this.#entries.has(id) ? readFile(this.#path(id)) : undefined;
  }

  async message(id: string): Promise<Message | undefined> {
    const entry = this.#entries.get(id);
    const raw = await this.raw(id);
    if (entry === undefined || raw === undefined) return undefined;
    this.#read.add(id);
    const mail = await PostalMime.parse(raw);
    const headers: Record<string, string[]> = {};
    for (const { originalKey, value } of mail.headers) (headers[originalKey] ??= []).push(value);
    const sent = new Date(mail.date ?? "");
    return {
      summary: this.#shown(entry.summary),
      text: mail.text ?? "",
      html: mail.html ?? "",
      date: Number.isNaN(sent.getTime()) ? entry.summary.Created : sent.toISOString(),
      headers,
      attachments: attachmentsOf(mail),
    };
  }

  async remove(id: string): Promise<void> {
    if (!this.#entries.delete(id)) return;
    this.#read.delete(id);
    await rm(this.#path(id), { force: true });
  }

  async clear(): Promise<void> {
    for (const id of this.#entries.keys()) await this.remove(id);
  }

  #shown(summary: MessageSummary): MessageSummary {
    return { ...summary, Read: this.#read.has(summary.ID) };
  }

  /** Only ever called with an id that is in `#entries`: a path can't be smuggled in. */
  #path(id: string): string {
    return join(this.#directory, `${id}.eml`);
  }
}

/** `subject:x`, `from:x` and `to:x` look there only, as in Mailpit; anything else looks everywhere. */
function term(word: string): (summary: MessageSummary, text: string) => boolean {
  const [, field, value] = /^(subject|from|to):"?([^"]*)"?$/.exec(word) ?? [];
  if (field === undefined || value === undefined) return (_, text) => text.includes(word.replaceAll('"', ""));
  return ({ Subject, From, To, Cc, Bcc }) => {
    const people = field === "from" ? [From] : [...To, ...Cc, ...Bcc];
    const places = field === "subject" ? [Subject] : people.map(({ Name, Address }) => `${Name} ${Address}`);
    return places.some((place) => place.toLowerCase().includes(value));
  };
}

async function describe(id: string, raw: Uint8Array, at: Date, recipients: readonly string[]): Promise<Entry> {
  const mail = await PostalMime.parse(raw);
  const to = people(mail.to);
  const cc = people(mail.cc);
  const named = new Set([...to, ...cc].map(({ Address }) => Address.toLowerCase()));
  const hidden = recipients.filter((address) => !named.has(address.toLowerCase()));
  const text = mail.text ?? "";
  const summary: MessageSummary = {
    ID: id,
    MessageID: (mail.messageId ?? "").replace(/^<|>$/g, ""),
    Read: false,
    From: people(mail.from === undefined ? [] : [mail.from])[0] ?? { Name: "", Address: "" },
    To: to,
    Cc: cc,
    Bcc: hidden.map((address) => ({ Name: "", Address: address })),
    ReplyTo: people(mail.replyTo),
    Subject: mail.subject ?? "",
    Created: at.toISOString(),
    Tags: [],
    Size: raw.byteLength,
    Attachments: mail.attachments.length,
    Snippet: text.replace(/\s+/g, " ").trim().slice(0, SNIPPET),
  };
  const everybody = [summary.From, ...to, ...cc, ...summary.Bcc].map(({ Name, Address }) => `${Name} ${Address}`);
  return { summary, words: [summary.Subject, ...everybody, text, summary.MessageID].join("\n").toLowerCase() };
}

function people(addresses: readonly Address[] | undefined): MailAddress[] {
  return (addresses ?? []).flatMap((one) =>
    one.group === undefined
      ? [{ Name: one.name, Address: one.address ?? "" }]
      : one.group.map(({ name, address }) => ({ Name: name, Address: address })),
  );
}

function attachmentsOf(mail: Email): Attachment[] {
  return mail.attachments.map((part, index) => {
    const bytes =
      typeof part.content === "string" ? new TextEncoder().encode(part.content) : new Uint8Array(part.content);
    return {
      PartID: String(index + 1),
      FileName: part.filename ?? `part-${index + 1}`,
      ContentType: part.mimeType,
      ContentID: (part.contentId ?? "").replace(/^<|>$/g, ""),
      Size: bytes.byteLength,
      bytes,
    };
  });
}
