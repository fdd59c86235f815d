/**
 * Finds where the audit trail was changed, where something of it is gone, was added, or stands in another place.
 *
 * Heads are read first, then notes, then entries, in any order: what a head covers was there before it was written. Of an
 * entry two bits stay in memory (250 KB a million).
 */
import type { AuditBreak, AuditReport } from "#contracts/audit";
import {
  type ChainDocument,
  headSealOf,
  headsSealOf,
  type HeadsDocument,
  isOlder,
  MacSum,
  type NoteDocument,
  noteSealOf,
  OLDER_MS,
  registrationOf,
} from "./documents.ts";
import { type AuditKey, contentOf, type Place, type Sealer } from "./seal.ts";

/** A stored entry, whatever was done to it. */
export type StoredEntry = Partial<Place> & { readonly event_id?: unknown };

/** Where the trail is read from. */
export interface AuditSource {
  heads(): Promise<HeadsDocument[]>;
  /** By number. */
  chains(): AsyncIterable<ChainDocument>;
  chain(number: number): Promise<ChainDocument | undefined>;
  notes(): AsyncIterable<NoteDocument>;
  /** All entries of the audit trail. */
  entries(): AsyncIterable<StoredEntry>;
  entry(eventId: string): Promise<StoredEntry | undefined>;
}

/** How far a chain had come, as somebody keeps it elsewhere than in the database. */
export interface KeptHead {
  readonly chain: number;
  readonly sequence: number;
  readonly mac: string;
}

export interface VerifyOptions {
  readonly source: AuditSource;
  /** The present secret, and those before it. */
  readonly keys: readonly AuditKey[];
  /** What has to be there, or to have been gone on from. Default: what the database says itself. */
  readonly kept?: readonly KeptHead[];
  /** Told of every entry. */
  readonly onProgress?: (report: AuditReport) => void;
}

const LISTED_MAX = 100;
const HEADS_MAX = 20;

/** Numbers from 1 that were seen. */
class Seen {
  #bits: Uint8Array;
  readonly size: number;

  constructor(size: number) {
    this.size = size;
    this.#bits = new Uint8Array((size >> 3) + 1);
  }

  has(number: number): boolean {
    return ((this.#bits[number >> 3] ?? 0) & (1 << (number & 7))) !== 0;
  }

  /** @returns false where it was seen before, or is none of these numbers. */
  add(number: number): boolean {
    if (!(Number.isInteger(number) && number >= 1 && number <= this.size) || this.has(number)) return false;
    this.#bits[number >> 3] = (this.#bits[number >> 3] ?? 0) | (1 << (number & 7));
    return true;
  }
}

interface Known {
  readonly document: ChainDocument;
  readonly seal: Sealer;
  /** Up to its head. */
  readonly there: Seen;
  readonly absent: Seen;
  readonly notes: Seen;
}

/** What was found, as it grows. */
export class Findings {
  readonly report: AuditReport = {
    state: "running",
    chains: 0,
    entries: 0,
    unsealed: 0,
    older: 0,
    breaks: 0,
    items: [],
    heads: [],
    started_at: new Date().toISOString(),
  };

  broken(found: AuditBreak): void {
    this.report.breaks += 1;
    if (this.report.items.length < LISTED_MAX) this.report.items.push(found);
  }

  done(): AuditReport {
    const { report } = this;
    return Object.assign(report, {
      state: "done",
      intact: report.breaks === 0,
      finished_at: new Date().toISOString(),
    } as const);
  }
}

/** @throws what the source throws. Gives the report as it grows to `findings`. */
export async function verify(
  { source, keys, kept = [], onProgress }: VerifyOptions,
  findings: Findings = new Findings(),
): Promise<AuditReport> {
  const { report } = findings;
  const chains = new Map<number, Known>();
  const keyOf = (id: string): AuditKey | undefined => keys.find((key) => key.id === id);

  /** The MACs that are there in place of those that are kept. */
  const found = new Map<KeptHead, string | undefined>();

  /** Registered and sealed as it has to be; otherwise it is told, and nothing of it can be verified. */
  function knownOf(document: ChainDocument): Known | undefined {
    const chain = document._id;
    const key = keyOf(document.key);
    if (key === undefined) {
      findings.broken({ chain, what: "it is sealed with a secret that is not known: name it in AUDIT_OLD_SECRETS" });
      return undefined;
    }
    if (registrationOf(key.seal, document) !== document.registration) {
      findings.broken({ chain, what: "its registration was changed" });
      return undefined;
    }
    const seal = key.sealOf(document.registration);
    const { head } = document;
    if (head === undefined || headSealOf(seal, head) !== head.seal) {
      findings.broken({ chain, what: "its head was changed" });
      return undefined;
    }
    const { sequence, notes } = head;
    const there = new Seen(sequence);
    return { document, seal, there, absent: new Seen(sequence), notes: new Seen(notes) };
  }

  async function readChains(): Promise<ChainDocument | undefined> {
    const heads = new Map((await source.heads()).map((head) => [head._id, head]));
    let last = 0;
    let registration = "";
    let first: ChainDocument | undefined;
    for await (const document of source.chains()) {
      first ??= document;
      const { _id: number } = document;
      if (number > last + 1) findings.broken({ what: `chains ${last + 1} to ${number - 1} are gone` });
      else if (document.previous !== registration) {
        findings.broken({ chain: number, what: "it was not registered after the one that is before it" });
      }
      last = number;
      ({ registration } = document);
      report.chains += 1;
      report.heads.unshift({ chain: number, sequence: document.head?.sequence ?? 0, mac: document.head?.mac ?? "" });
      if (report.heads.length > HEADS_MAX) report.heads.pop();
      const known = knownOf(document);
      if (known !== undefined) chains.set(number, known);
    }
    const counted = heads.get("chains");
    if (counted === undefined) {
      // It is written right after the first chain, and before the first entry.
      if (last > 1 || (first?.head?.sequence ?? 0) > 0) findings.broken({ what: "the number of chains is gone" });
    } else if (!isSealed(counted)) findings.broken({ what: "the number of chains was changed" });
    else if (counted.count > last) findings.broken({ what: `chains ${last + 1} to ${counted.count} are gone` });
    const older = heads.get("older");
    if (older !== undefined && !isSealed(older)) findings.broken({ what: "the seal of older entries was changed" });
    olderSealed = older;
    return first;
  }
  let olderSealed: HeadsDocument | undefined;

  function isSealed(heads: HeadsDocument): boolean {
    const key = keyOf(heads.key);
    return key !== undefined && headsSealOf(key.seal, heads) === heads.seal;
  }

  async function readNotes(): Promise<void> {
    for await (const note of source.notes()) {
      const known = chains.get(note.chain) ?? (await registeredSince(note.chain));
      if (known === undefined || noteSealOf(known.seal, note) !== note.seal) {
        findings.broken({ chain: note.chain, what: `its note ${note.number} was changed` });
        continue;
      }
      if (note.number <= known.notes.size && !known.notes.add(note.number)) {
        findings.broken({ chain: note.chain, what: `its note ${note.number} is there twice` });
      }
      for (const number of note.missing) known.absent.add(number);
      for (const adopted of note.adopted) {
        const entry = await source.entry(adopted.event_id);
        if (entry === undefined || known.seal("adopted", contentOf(entry), entry.audit_mac ?? "") !== adopted.seal) {
          const what = entry === undefined ? "it is gone" : "it was changed";
          findings.broken({ chain: note.chain, event_id: adopted.event_id, what });
        }
      }
    }
    for (const [chain, { notes }] of chains) {
      for (let number = 1; number <= notes.size; number += 1) {
        if (!notes.has(number)) findings.broken({ chain, what: `its note ${number} is gone` });
      }
    }
  }

  /** A chain that was begun after the chains were read; undefined where there is none. */
  async function registeredSince(number: number): Promise<Known | undefined> {
    const document = chains.has(number) ? undefined : await source.chain(number);
    if (document === undefined || number <= (report.heads[0]?.chain ?? 0)) return undefined;
    // Of what its head covers, not all is there for whoever began to read before.
    const known = knownOf({ ...document });
    if (known === undefined) return undefined;
    const young = { ...known, there: new Seen(0), absent: new Seen(0), notes: new Seen(0) };
    chains.set(number, young);
    return young;
  }

  async function look(entry: StoredEntry): Promise<void> {
    const { audit_chain: chain, audit_sequence: sequence, audit_mac: mac } = entry;
    const eventId = typeof entry.event_id === "string" ? { event_id: entry.event_id } : {};
    if (typeof chain !== "number" || typeof sequence !== "number") {
      findings.broken({ ...eventId, what: "it is of no chain" });
      return;
    }
    const known = chains.get(chain) ?? (await registeredSince(chain));
    if (known === undefined) {
      findings.broken({ chain, ...eventId, what: "it is of a chain that is not there, or cannot be verified" });
      return;
    }
    const at = { chain, from: sequence, to: sequence, ...eventId };
    if (mac === undefined || known.seal("entry", contentOf(entry)) !== mac) {
      findings.broken({ ...at, what: "it was changed" });
      // What stands there is told; that what stood there is gone needs not be told besides.
      known.absent.add(sequence);
      return;
    }
    for (const head of kept) {
      if (head.chain !== chain) continue;
      if (head.sequence === sequence) found.set(head, mac);
      // Where nothing is stored under the number itself, the next one tells what was before it.
      else if (head.sequence === sequence - 1) found.set(head, entry.audit_previous);
    }
    if (sequence > known.there.size) {
      report.unsealed += 1;
      return;
    }
    if (!known.there.add(sequence)) findings.broken({ ...at, what: "it is there twice" });
    if (sequence === known.there.size && known.document.head.mac !== mac) {
      findings.broken({ ...at, what: "it is not what the head of its chain says" });
    }
  }

  async function readEntries(first: ChainDocument | undefined): Promise<void> {
    const sum = new MacSum();
    const sealOlder = keyOf(olderSealed?.key ?? "")?.seal;
    for await (const entry of source.entries()) {
      report.entries += 1;
      if (isOlder(entry, first?.opened_at ?? new Date())) {
        report.older += 1;
        if (sealOlder !== undefined) sum.add(sealOlder("older", contentOf(entry)));
      } else await look(entry);
      onProgress?.(report);
    }
    if (olderSealed === undefined) {
      if (first !== undefined && Date.now() - first.opened_at.getTime() > OLDER_MS) {
        findings.broken({ what: "the seal of the entries from before the first chain is gone" });
      }
      return;
    }
    const isSame = olderSealed.count === report.older && olderSealed.sum === sum.text;
    if (!isSame) {
      const what = `of the entries from before the first chain, ${report.older} are there and not as they were sealed (${olderSealed.count})`;
      findings.broken({ what });
    }
  }

  /** Told in runs: a thousand entries in a row that are gone are one break. */
  function tellGone(): void {
    for (const [chain, { there, absent }] of chains) {
      let from = 0;
      for (let number = 1; number <= there.size + 1; number += 1) {
        const isGone = number <= there.size && !there.has(number) && !absent.has(number);
        if (isGone) from ||= number;
        else if (from > 0) {
          findings.broken({ chain, from, to: number - 1, what: "they are gone" });
          from = 0;
        }
      }
    }
  }

  function compareKept(): void {
    for (const head of kept) {
      const { chain, sequence, mac } = head;
      const known = chains.get(chain);
      if (known === undefined) {
        findings.broken({ chain, what: "a head of it is kept, and it is not there, or cannot be verified" });
        continue;
      }
      const { registration, head: last } = known.document;
      if (last.sequence < sequence) {
        findings.broken({ chain, what: `it was set back to entry ${last.sequence}: it had come to ${sequence}` });
        continue;
      }
      const there = sequence === 0 ? registration : sequence === last.sequence ? last.mac : found.get(head);
      // Where there is none, what is gone is told by its number.
      if (there !== undefined && there !== mac) {
        findings.broken({ chain, from: sequence, to: sequence, what: "it is not what the head says that is kept" });
      }
    }
  }

  const first = await readChains();
  await readNotes();
  await readEntries(first);
  tellGone();
  compareKept();
  return findings.done();
}
