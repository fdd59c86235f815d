/**
 * Chains the audit entries that this logger stores. What is told as stored is sealed: the chain's head, which covers it,
 * was written before.
 *
 * A batch is chained before it is written. Where some of it is not stored (an `event_id` that was there before, a document
 * that the store refuses), a note says so. Where it is not known what is stored, or the head cannot be written, the chain
 * ends at its head: what came after it was told to nobody as stored, and the next batch begins a new chain.
 */
import { fail, Failure, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { Deadline } from "#shared/resilience";
import type { LogDocument } from "../documents.ts";
import { holdersOf, isDuplicateKey } from "../driver.ts";
import type { Stored } from "../group-commit.ts";
import type { Logs, MongoConnection } from "../mongo.ts";
import {
  type Adopted,
  auditOf,
  type ChainDocument,
  type Head,
  headSealOf,
  headsSealOf,
  type HeadsDocument,
  isOlder,
  MacSum,
  noteSealOf,
  OLDER_MS,
  registrationOf,
} from "./documents.ts";
import { AUDIT_FILTER, isAudit } from "./name.ts";
import { type AuditKey, contentOf, type Mac, type Sealer } from "./seal.ts";

/** What became of each document of a batch, or why it is not known. */
export type Outcomes = Result<readonly Result<Stored>[]>;

/** A batch between its chaining and its seal. */
export interface Chained {
  /** Has to be called, once the batch is written or not. @returns the outcomes; a failure where they could not be sealed. */
  seal(outcomes: Outcomes): Promise<Outcomes>;
}

export interface AuditChain extends AsyncDisposable {
  /**
   * Gives documents their places in the chain, in order.
   * @returns failure `unavailable` where no chain can be begun, or their turn comes after the deadline.
   */
  append(logs: Logs, documents: readonly LogDocument[], deadline: Deadline): Promise<Result<Chained>>;
}

/** For beginning a chain, and for a seal (ms): callers are answered at their own deadline, whatever comes of it. */
const OPEN_MS = 4_000;
const SEAL_MS = 3_000;
/** For looking at what stands where ids came again: of the rest, callers hear that it is not sealed, and send it again (ms). */
const HOLDERS_MS = 1_500;
/** Replicas that begin chains at the same moment take the next number each. */
const OPEN_TRIES = 20;

/** The chain in use. */
interface Open {
  readonly number: number;
  readonly seal: Sealer;
  readonly epoch: number;
  /** Of the last document that was given a place. */
  sequence: number;
  mac: Mac;
  notes: number;
  /** Takes nothing more: it is not known what is behind its head. */
  ended: boolean;
  /** What is not stored of a batch is noted in the order of places. */
  noting: Promise<unknown>;
  /** How far it is known what is stored: what the next head says. */
  known: Omit<Head, "seal" | "at">;
  /** The head that is being written, and the one after it, for all batches that came in between. */
  writing: Promise<void>;
  next: Promise<void> | undefined;
  /** Whether a head could not be written: none is written after it. */
  headless: boolean;
}

function unsealed(cause: unknown): Result<never> {
  return fail("unavailable", "the audit trail cannot be sealed now", { cause, retryAfterS: 1 });
}

/** Waits for a write that another replica may have been first with. */
async function unlessThere(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
  }
}

export interface AuditChainOptions {
  readonly connection: MongoConnection;
  readonly key: AuditKey;
  readonly log: Log;
}

export function makeAuditChain({ connection, key, log }: AuditChainOptions): AuditChain {
  const stopping = new AbortController();
  let current: Promise<Open> | undefined;
  let older: Promise<void> | undefined;

  /** A chain of the next number, where no other replica takes it first. */
  async function register(logs: Logs, deadline: Deadline): Promise<ChainDocument> {
    const { chains } = auditOf(logs);
    for (let tries = 0; tries < OPEN_TRIES; tries += 1) {
      const last = await deadline.bound(chains.find().sort({ _id: -1 }).limit(1).next(), "MongoDB");
      const chain = {
        _id: (last?._id ?? 0) + 1,
        key: key.id,
        opened_at: new Date(),
        nonce: Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64url"),
        previous: last?.registration ?? "",
      };
      const registration = registrationOf(key.seal, chain);
      const head = { sequence: 0, mac: registration, notes: 0, at: chain.opened_at };
      const seal = headSealOf(key.sealOf(registration), head);
      const document = { ...chain, registration, head: { ...head, seal } };
      try {
        await deadline.bound(chains.insertOne(document), "MongoDB");
        return document;
      } catch (error) {
        if (!isDuplicateKey(error)) throw error;
      }
    }
    throw new Failure("unavailable", "no number is free for a chain");
  }

  function headsOf(heads: Omit<HeadsDocument, "key" | "seal">): HeadsDocument {
    return { ...heads, key: key.id, seal: headsSealOf(key.seal, heads) };
  }

  /**
   * The number of chains, never less than it was: of two replicas, the later one counts. It is made before the first entry of
   * the first chain; where it is gone later, it stays so, and is found: chains may have gone with it.
   */
  async function count(logs: Logs, chains: number, deadline: Deadline): Promise<void> {
    const { _id, ...heads } = headsOf({ _id: "chains", count: chains });
    const filter = { _id, count: { $lt: chains } };
    const used = await deadline.bound(auditOf(logs).chains.findOne({ "head.sequence": { $gt: 0 } }), "MongoDB");
    const options = { upsert: used === null };
    await unlessThere(deadline.bound(auditOf(logs).heads.updateOne(filter, { $set: heads }, options), "MongoDB"));
  }

  async function open(logs: Logs, epoch: number): Promise<Open> {
    const deadline = Deadline.after(OPEN_MS, stopping.signal);
    const { _id: number, registration } = await register(logs, deadline);
    await count(logs, number, deadline);
    if (number === 1) await sealNone(logs, deadline);
    log.info("audit chain begun", { chain: number, mac: registration });
    // Another database begins anew.
    older = number === 1 ? sealOlder(logs) : (older ?? sealOlder(logs));
    const seal = key.sealOf(registration);
    const known = { sequence: 0, mac: registration, notes: 0 };
    const nothing = Promise.resolve();
    const state = { ended: false, noting: nothing, writing: nothing, next: undefined, headless: false };
    return { number, seal, epoch, ...known, known, ...state };
  }

  /** Before the first entry of all: that there was none before, where that is so, which is most often and quickly known. */
  async function sealNone(logs: Logs, deadline: Deadline): Promise<void> {
    if ((await deadline.bound(logs.findOne(AUDIT_FILTER), "MongoDB")) !== null) return;
    await unlessThere(deadline.bound(insertOlder(logs, 0, new MacSum()), "MongoDB"));
  }

  async function insertOlder(logs: Logs, entries: number, sum: MacSum): Promise<void> {
    await auditOf(logs).heads.insertOne(headsOf({ _id: "older", count: entries, sum: sum.text }));
  }

  /** Once for a database: what was there before the first chain, as a whole. */
  async function sealOlder(logs: Logs): Promise<void> {
    const { heads, chains } = auditOf(logs);
    try {
      if ((await heads.findOne({ _id: "older" })) !== null) return;
      const first = await chains.findOne({ _id: 1 });
      if (first === null) return;
      if (Date.now() - first.opened_at.getTime() > OLDER_MS) {
        log.error("audit entries from before the first chain are not sealed, or somebody has removed their seal");
        return;
      }
      const sum = new MacSum();
      let entries = 0;
      for await (const document of logs.find(AUDIT_FILTER, { signal: stopping.signal })) {
        if (!isOlder(document, first.opened_at)) continue;
        entries += 1;
        sum.add(key.seal("older", contentOf(document)));
      }
      await insertOlder(logs, entries, sum);
    } catch (error) {
      // The next chain tries again; another replica may have been first.
      older = undefined;
      log.debug("older audit entries could not be sealed yet", { error });
    }
  }

  /** The chain to go on with; a new one where the last one has ended. */
  async function chainFor(logs: Logs): Promise<Open> {
    const { epoch } = connection;
    const last = await current?.catch(() => undefined);
    if (last !== undefined && !last.ended && last.epoch === epoch) return last;
    current = open(logs, epoch);
    return current;
  }
  let turn: Promise<unknown> = Promise.resolve();

  /** Says under which numbers nothing is stored, and what stands in place of it. */
  async function note(
    logs: Logs,
    chain: Open,
    { missing, adopted }: { missing: number[]; adopted: Adopted[] },
  ): Promise<void> {
    const numbered = { number: chain.notes + 1, missing, adopted };
    const document = { _id: `${chain.number}/${numbered.number}`, chain: chain.number, ...numbered };
    const seal = noteSealOf(chain.seal, numbered);
    await Deadline.after(SEAL_MS).bound(auditOf(logs).notes.insertOne({ ...document, seal }), "MongoDB");
    chain.notes += 1;
  }

  /** Writes how far the chain has come. */
  async function writeHead(logs: Logs, chain: Open): Promise<void> {
    chain.next = undefined;
    if (chain.headless) throw new Error("a head before this one could not be written");
    const head = { ...chain.known, at: new Date() };
    const update = { $set: { head: { ...head, seal: headSealOf(chain.seal, head) } } };
    try {
      const written = auditOf(logs).chains.updateOne({ _id: chain.number }, update);
      const { matchedCount } = await Deadline.after(SEAL_MS).bound(written, "MongoDB");
      if (matchedCount === 1) return;
      log.error("the head of the audit chain is gone: somebody has removed it", { chain: chain.number });
      throw new Error("the head of the chain is gone");
    } catch (error) {
      chain.headless = true;
      throw error;
    }
  }

  /** One head at a time, and the next for all batches that wait for one: as a group commit. */
  function headFor(logs: Logs, chain: Open): Promise<void> {
    if (chain.next !== undefined) return chain.next;
    const next = chain.writing.then(() => writeHead(logs, chain));
    chain.next = next;
    // Each that waits for it hears of its failure; the one after it hears by `headless`.
    chain.writing = next.catch(() => undefined);
    return next;
  }

  /** Takes down what is stored of a batch. @returns the outcomes, to be told once a head covers them. */
  async function noteBatch(
    logs: Logs,
    chain: Open,
    documents: readonly LogDocument[],
    outcomes: readonly Result<Stored>[],
  ): Promise<Outcomes> {
    const last = documents.at(-1);
    if (last?.audit_sequence === undefined || last.audit_mac === undefined) return ok(outcomes);
    const isThere = (outcome: Result<Stored> | undefined): boolean =>
      outcome?.ok === true && outcome.value === "stored";
    const absent = documents.filter((_, index) => !isThere(outcomes[index]));
    let sealed = outcomes;
    if (absent.length > 0) {
      const repeated = documents.filter((_, index) => outcomes[index]?.ok === true && !isThere(outcomes[index]));
      const holders = await holdersOf(
        logs,
        repeated.map((one) => one.event_id),
        { withinMs: HOLDERS_MS },
      );
      const adopted = [...holders.values()]
        // What has another name is not of the trail: it may be removed, and given another time of its removal.
        .filter((one) => isAudit(one.name))
        .filter((one) => !(one.audit_chain === chain.number && (one.audit_sequence ?? 0) <= (last.audit_sequence ?? 0)))
        .map((one) => ({ event_id: one.event_id, seal: chain.seal("adopted", contentOf(one), one.audit_mac ?? "") }));
      await note(logs, chain, { missing: absent.map((one) => one.audit_sequence ?? 0), adopted });
      // Nobody is told of an entry that it is stored where it is not known as what.
      sealed = outcomes.map((outcome, index) => {
        const isKnown = !outcome.ok || outcome.value === "stored" || holders.has(documents[index]?.event_id ?? "");
        return isKnown ? outcome : unsealed(undefined);
      });
    }
    chain.known = { sequence: last.audit_sequence, mac: last.audit_mac, notes: chain.notes };
    return ok(sealed);
  }

  return {
    async append(logs, documents, deadline) {
      const before = turn;
      const { promise, resolve } = Promise.withResolvers<void>();
      turn = promise;
      // One after the other: places are given in the order in which batches come.
      await before;
      let chain: Open;
      try {
        if (deadline.passed) return unsealed(undefined);
        chain = await chainFor(logs);
      } catch (error) {
        connection.suspect();
        return unsealed(error);
      } finally {
        resolve();
      }
      for (const document of documents) {
        document.audit_chain = chain.number;
        document.audit_sequence = chain.sequence += 1;
        document.audit_previous = chain.mac;
        document.audit_mac = chain.mac = chain.seal("entry", contentOf(document));
      }
      const earlier = chain.noting;
      const { promise: done, resolve: finish } = Promise.withResolvers<void>();
      chain.noting = done;
      return ok({
        async seal(outcomes) {
          await earlier;
          try {
            if (chain.ended) return unsealed(undefined);
            if (!outcomes.ok) {
              chain.ended = true;
              return outcomes;
            }
            const noted = await noteBatch(logs, chain, documents, outcomes.value);
            finish();
            await headFor(logs, chain);
            return noted;
          } catch (error) {
            chain.ended = true;
            connection.suspect();
            log.warn("the audit trail could not be sealed: the next entries begin a new chain", {
              chain: chain.number,
              error,
            });
            return unsealed(error);
          } finally {
            finish();
          }
        },
      });
    },
    async [Symbol.asyncDispose]() {
      const chain = await current?.catch(() => undefined);
      await chain?.noting;
      await chain?.writing;
      stopping.abort(new Error("the logger is stopping"));
      await older;
      // A line elsewhere than in the database, which a later verification can be held against.
      if (chain !== undefined) {
        log.info("audit chain ended", { chain: chain.number, sequence: chain.sequence, mac: chain.mac });
      }
    },
  };
}
