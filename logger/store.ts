/** Entries to MongoDB: talks, never decides. */
import { MongoBulkWriteError, MongoError, type WriteError } from "mongodb";
import { Failure, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { Deadline } from "#shared/resilience";
import type { AuditChain, Outcomes } from "./audit/chain.ts";
import { documentOf, type LogDocument } from "./documents.ts";
import type { LogRecord } from "./entries.ts";
import type { BatchStore, Stored } from "./group-commit.ts";
import type { Logs, MongoConnection } from "./mongo.ts";
import type { Registry } from "./registry.ts";

/** Below the RPC's 5 s, so that callers hear of it (ms). */
const INSERT_MS = 4_000;
const COMPARE_MS = 1_000;
const COMPARED_AT_ONCE = 8;
const DUPLICATE_KEY = 11_000;

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

/** What is stored under ids that are taken; what cannot be had in time is left out. */
async function holdersOf(logs: Logs, eventIds: readonly string[]): Promise<Map<string, Holder>> {
  const holders = new Map<string, Holder>();
  const deadline = Deadline.after(COMPARE_MS);
  const projection = { _id: 0, event_id: 1, content_hash: 1, producer_id: 1, sequence: 1 } as const;
  const rest = eventIds.values();
  const look = async (): Promise<void> => {
    // Each by itself, and not as one of a list: all that FerretDB hands on to its PostgreSQL is equality.
    for (const eventId of rest) {
      if (deadline.passed) return;
      const options = { projection, maxTimeMS: Math.max(1, deadline.remainingMs()), signal: deadline.signal };
      const holder = await deadline.bound(logs.findOne<Holder>({ event_id: eventId }, options), "MongoDB");
      if (holder !== null) holders.set(eventId, holder);
    }
  };
  // Of what cannot be looked at the entries are stored all the same, which is what most callers wait to hear.
  await Promise.allSettled(Array.from({ length: COMPARED_AT_ONCE }, look));
  return holders;
}

/** Documents of older writers have no hash: nobody but us gave them their ids. */
function isSame(holder: Holder, record: LogRecord): boolean {
  return holder.content_hash === undefined || holder.content_hash === record.contentHash;
}

/** @param chain for entries of the audit trail: where it is given, all of them are. */
export function makeStore(
  connection: MongoConnection,
  registry: Registry,
  log: Log,
  chain?: Pick<AuditChain, "append">,
): BatchStore<LogRecord> {
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
    const holders = await holdersOf(logs, [...new Set(ids.map((record) => record.eventId))]);
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

  async function write(
    logs: Logs,
    documents: readonly LogDocument[],
    records: readonly LogRecord[],
    deadline: Deadline,
  ): Promise<Outcomes> {
    try {
      await deadline.bound(logs.insertMany(documents, { ordered: false }), "MongoDB");
      return ok(records.map(() => ok("stored")));
    } catch (error) {
      const errors = writeErrorsOf(error);
      if (errors !== undefined) return ok(await outcomes(logs, records, errors));
      if (isDocumentFault(error)) return { ok: false, error: refused(error) };
      connection.suspect();
      return { ok: false, error: unavailable(error) };
    }
  }

  return {
    refusal: () => (connection.logs === undefined ? unavailable(undefined) : undefined),
    async insert(records) {
      const { logs } = connection;
      if (logs === undefined) return { ok: false, error: unavailable(undefined) };
      const documents = records.map(documentOf) as LogDocument[];
      const deadline = Deadline.after(INSERT_MS);
      try {
        await registry.register(logs, records, deadline);
      } catch (error) {
        connection.suspect();
        return { ok: false, error: unavailable(error) };
      }
      if (chain === undefined) return write(logs, documents, records, deadline);
      const chained = await chain.append(logs, documents);
      return chained.ok ? chained.value.seal(await write(logs, documents, records, deadline)) : chained;
    },
  };
}
