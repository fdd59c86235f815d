/** Entries to MongoDB: talks, never decides. */
import { type Collection, MongoBulkWriteError, MongoError, type WriteError } from "mongodb";
import { Failure, ok, type Result } from "#shared/errors";
import { Deadline } from "#shared/resilience";
import { documentOf, type LogDocument } from "./documents.ts";
import type { LogRecord } from "./entries.ts";
import type { BatchStore, Stored } from "./group-commit.ts";
import type { MongoConnection } from "./mongo.ts";

/** Below the RPC's 5 s, so that callers hear of it (ms). */
const INSERT_MS = 4_000;
const COMPARE_MS = 1_000;
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

/** Hashes of what is stored under ids that are taken. Where they cannot be had, an entry counts as a mere repetition. */
async function hashesOf(logs: Collection<LogDocument>, eventIds: readonly string[]): Promise<Map<string, string>> {
  try {
    const found = logs
      .find({ event_id: { $in: [...eventIds] } }, { projection: { _id: 0, event_id: 1, content_hash: 1 } })
      .toArray();
    const documents = await Deadline.after(COMPARE_MS).bound(found, "MongoDB");
    return new Map(documents.map((document) => [document.event_id, document.content_hash]));
  } catch {
    // The entries are stored, which is what the callers wait to hear.
    return new Map();
  }
}

export function makeStore(connection: MongoConnection): BatchStore<LogRecord> {
  async function outcomes(
    logs: Collection<LogDocument>,
    records: readonly LogRecord[],
    errors: ReadonlyMap<number, WriteError>,
  ): Promise<Result<Stored>[]> {
    const repeated = records.filter((_, index) => errors.get(index)?.code === DUPLICATE_KEY);
    const hashes =
      repeated.length === 0
        ? new Map<string, string>()
        : await hashesOf(
            logs,
            repeated.map((record) => record.eventId),
          );
    return records.map((record, index) => {
      const error = errors.get(index);
      if (error === undefined) return ok("stored");
      if (error.code === DUPLICATE_KEY) {
        const hash = hashes.get(record.eventId) ?? record.contentHash;
        return ok(hash === record.contentHash ? "duplicate" : "conflict");
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
      const documents = records.map(documentOf) as LogDocument[];
      try {
        await Deadline.after(INSERT_MS).bound(logs.insertMany(documents, { ordered: false }), "MongoDB");
        return ok(records.map(() => ok("stored")));
      } catch (error) {
        const errors = writeErrorsOf(error);
        if (errors !== undefined) return ok(await outcomes(logs, records, errors));
        if (isDocumentFault(error)) return { ok: false, error: refused(error) };
        connection.suspect();
        return { ok: false, error: unavailable(error) };
      }
    },
  };
}
