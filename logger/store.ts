/** Entries to MongoDB: talks, never decides. */
import { MongoBulkWriteError, MongoError, type WriteError } from "mongodb";
import { Failure, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { Deadline } from "#shared/resilience";
import type { AuditChain } from "./audit/chain.ts";
import { documentOf, type LogDocument, type Placed } from "./documents.ts";
import { DUPLICATE_KEY, holdersOf } from "./driver.ts";
import type { LogRecord } from "./entries.ts";
import type { BatchStore, Stored } from "./group-commit.ts";
import type { Logs, MongoConnection } from "./mongo.ts";
import type { SegmentWriter } from "./query/catalog.ts";
import type { Registry } from "./registry.ts";
import type { Slots } from "./retention/slots.ts";
import { recordStep, stepBegins } from "./spans.ts";
import type { Tap } from "./tail/tap.ts";
import { makeWriter, type Writer } from "./tail/writer.ts";

/** Below the RPC's 5 s, so that callers hear of it (ms). */
const INSERT_MS = 4_000;
const COMPARE_MS = 1_000;

/**
 * What a server answers where the document is at fault: BadValue, FailedToParse, TypeMismatch, InvalidBSON,
 * DollarPrefixedFieldName, DottedFieldName, DocumentValidationFailure, BSONObjectTooLarge, KeyTooLong.
 * Anything else is the system's fault, and passes. Source: mongo/src/mongo/base/error_codes.yml.
 */
const DOCUMENT_FAULTS = new Set<unknown>([2, 9, 14, 22, 52, 57, 121, 10_334, 17_280]);

function isDocumentFault(error: unknown): boolean {
  if (error instanceof MongoError) return DOCUMENT_FAULTS.has(error.code);
  // The driver refuses to serialise: BSONError, or a RangeError for what does not fit into its buffer.
  return error instanceof RangeError || (error instanceof Error && error.name === "BSONError");
}

function unavailable(cause: unknown): Failure {
  return new Failure("unavailable", "MongoDB is unavailable", { cause, retryAfterS: 1 });
}

function refused(cause: unknown): Failure {
  return new Failure("invalid", "MongoDB refuses the entry", { cause });
}

/** As a span tells it: never the words, which have values in them. */
function codeOf(error: unknown): string {
  if (error instanceof MongoError && error.code !== undefined) return String(error.code);
  return error instanceof Error ? error.name : "unknown";
}

/** Errors of single documents, by their place in the batch; undefined where the batch failed as a whole. */
function writeErrorsOf(error: unknown): Map<number, WriteError> | undefined {
  if (!(error instanceof MongoBulkWriteError)) return undefined;
  const errors = [error.writeErrors].flat();
  // Without the write concern what was written may be rolled back: nothing of the batch counts as stored.
  if (errors.length === 0 || error.result.getWriteConcernError() !== undefined) return undefined;
  return new Map(errors.map((writeError) => [writeError.index, writeError]));
}

/** What is stored under an id that is taken. */
type Holder = Pick<LogDocument, "event_id"> & Partial<Pick<LogDocument, "content_hash" | "producer_id" | "sequence">>;

const HOLDER = { _id: 0, event_id: 1, content_hash: 1, producer_id: 1, sequence: 1 };

/** Documents of older writers have no hash: nobody but us gave them their ids. */
function isSame(holder: Holder, record: LogRecord): boolean {
  return holder.content_hash === undefined || holder.content_hash === record.contentHash;
}

/** Who follows what is stored; and the ids by which it is known who stored it. */
export interface Followed {
  readonly tap: Tap;
  readonly writer: Writer;
}

/** What knows where entries are, besides themselves: told before they are stored. */
export interface Places {
  readonly slots: Pick<Slots, "place">;
  readonly segments: SegmentWriter;
}

export interface StoreOptions {
  readonly followed?: Followed;
  /** For entries of the audit trail: where it is given, all of them are. */
  readonly chain?: Pick<AuditChain, "append">;
}

export function makeStore(
  connection: MongoConnection,
  registry: Registry,
  { slots, segments }: Places,
  log: Log,
  { followed, chain }: StoreOptions = {},
): BatchStore<LogRecord> {
  const writer = followed?.writer ?? makeWriter();
  /** A number whose content is stored already, under another one or none, stands for nothing. */
  async function voidRepeated(
    logs: Logs,
    repeated: readonly LogRecord[],
    holders: ReadonlyMap<string, Holder>,
  ): Promise<void> {
    const needless = repeated.filter((record) => {
      const holder = holders.get(record.eventId);
      if (record.producer === undefined || holder === undefined || !isSame(holder, record)) return false;
      return holder.producer_id !== record.producer.id || holder.sequence !== record.producer.sequence;
    });
    if (needless.length === 0) return;
    try {
      await registry.voidRepeated(logs, needless, Deadline.after(COMPARE_MS));
    } catch (error) {
      log.warn("numbers of repeated entries could not be voided, and will be reported as missing", {
        entries: needless.length,
        error,
      });
    }
  }

  async function outcomes(
    logs: Logs,
    records: readonly LogRecord[],
    errors: ReadonlyMap<number, WriteError>,
  ): Promise<Result<Stored>[]> {
    const repeated = records.filter((_, index) => errors.get(index)?.code === DUPLICATE_KEY);
    // Those first whose callers wait to hear it.
    const ids = repeated.toSorted((a, b) => Number(b.once ?? false) - Number(a.once ?? false));
    // Of what cannot be looked at the entries are stored all the same, which is what most callers wait to hear.
    const lookUp = { withinMs: COMPARE_MS, projection: HOLDER };
    const holders = await holdersOf<Holder>(
      logs,
      ids.map((record) => record.eventId),
      lookUp,
    );
    await voidRepeated(logs, repeated, holders);
    return records.map((record, index) => {
      const error = errors.get(index);
      if (error === undefined) return ok("stored");
      if (error.code === DUPLICATE_KEY) {
        const holder = holders.get(record.eventId);
        return ok(holder === undefined ? "taken" : isSame(holder, record) ? "duplicate" : "conflict");
      }
      const cause = new Error(`code ${error.code}: ${error.errmsg ?? ""}`);
      return { ok: false, error: DOCUMENT_FAULTS.has(error.code) ? refused(cause) : unavailable(cause) };
    });
  }

  return {
    refusal: () => (connection.logs === undefined ? unavailable(undefined) : undefined),
    async insert(records) {
      const { logs } = connection;
      if (logs === undefined) return { ok: false, error: unavailable(undefined) };
      const batch = followed?.tap.begin();
      // At one go with that: of what a writer stores, ids are in the order of `stored_at`, and both in that of the tap.
      const storedAt = new Date();
      const ids = records.map(() => writer.nextId());
      const deadline = Deadline.after(INSERT_MS);
      const entered = await enter(logs, records, storedAt, deadline);
      if (!entered.ok) {
        batch?.over([]);
        return entered;
      }
      const { segment, placed } = entered.value;
      const documents = records.map(
        (record, at): LogDocument => ({ _id: ids[at] ?? writer.nextId(), ...documentOf(record, placed[at]) }),
      );
      const chained = await chain?.append(logs, documents, deadline);
      if (chained?.ok === false) {
        if (segment !== undefined) segments.took(segment, []);
        batch?.over([]);
        return chained;
      }
      // Sent later, it could be stored after everybody has been told that it is not.
      const written = deadline.passed ? unsent(records) : await insert(logs, records, documents, deadline);
      if (segment !== undefined) note(segment, records, written);
      // Before it is sealed: it is stored, and those who follow the others wait for no seal.
      const isHeard = written.ok && followed?.tap.isHeard === true;
      batch?.over(isHeard ? documents.filter((_, index) => isStored(written.value[index])) : []);
      return chained === undefined ? written : await chained.value.seal(written);
    },
  };

  /** Before anything of a batch is written: its numbers are known, and where it is looked for. */
  async function enter(
    logs: Logs,
    records: readonly LogRecord[],
    stored_at: Date,
    deadline: Deadline,
  ): Promise<Result<{ segment: number | undefined; placed: Placed[] }>> {
    // None of the three waits for another.
    const entering = segments.enter(logs, records.length, deadline);
    try {
      const [expiries, segment] = await Promise.all([
        slots.place(logs, records, stored_at, deadline),
        entering,
        registry.register(logs, records, deadline),
      ]);
      const inSegment = segment === undefined ? {} : { segment };
      return ok({ segment, placed: records.map((_, at) => ({ stored_at, ...expiries[at], ...inSegment })) });
    } catch (error) {
      void entering.then(
        (segment) => {
          if (segment !== undefined) segments.took(segment, []);
        },
        () => undefined,
      );
      connection.suspect();
      return { ok: false, error: unavailable(error) };
    }
  }

  /** What became of a batch that was entered. */
  function note(segment: number, records: readonly LogRecord[], result: Result<readonly Result<Stored>[]>): void {
    if (result.ok)
      segments.took(
        segment,
        records.filter((_, index) => isStored(result.value[index])),
      );
    else if (result.error.code === "invalid") segments.took(segment, []);
    else segments.lost(segment);
  }

  async function insert(
    logs: Logs,
    records: readonly LogRecord[],
    documents: readonly LogDocument[],
    deadline: Deadline,
  ): ReturnType<BatchStore<LogRecord>["insert"]> {
    const step = { operation: "insert", collection: "logs", startedAt: stepBegins() };
    try {
      await deadline.bound(logs.insertMany(documents, { ordered: false }), "MongoDB");
      recordStep(step, records);
      return ok(records.map(() => ok("stored")));
    } catch (error) {
      const errors = writeErrorsOf(error);
      recordStep(step, records, (index) => {
        if (errors === undefined) return codeOf(error);
        const code = errors.get(index)?.code;
        // Stored before: that is no error of its.
        return code === undefined || code === DUPLICATE_KEY ? undefined : String(code);
      });
      if (errors !== undefined) return ok(await outcomes(logs, records, errors));
      if (isDocumentFault(error)) return { ok: false, error: refused(error) };
      connection.suspect();
      return { ok: false, error: unavailable(error) };
    }
  }
}

/** Each failed by itself: that nothing of the batch is stored is known. */
function unsent(records: readonly LogRecord[]): Result<Result<Stored>[]> {
  const error = unavailable(new Error("no time was left to send it"));
  return ok(records.map(() => ({ ok: false, error })));
}

function isStored(result: Result<Stored> | undefined): boolean {
  return result?.ok === true && result.value === "stored";
}
