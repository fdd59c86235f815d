/** Looks entries up by their ids. */
import { type Static, Type } from "@sinclair/typebox";
import { EventId, FIND_MAX, type FoundEntry } from "#contracts/logs";
import { Failure, fail, ok, type Result } from "#shared/errors";
import type { CallContext } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { LogDocument } from "./documents.ts";
import { boundsOf } from "./driver.ts";
import type { MongoConnection } from "./mongo.ts";
import { inMongo } from "./spans.ts";

/** Below the RPC's 5 s, so that callers hear of it (ms). */
const FIND_MS = 4_000;

const EventIds = Type.Array(EventId, { maxItems: FIND_MAX });
const validIds = makeValidator(EventIds, { name: "event_ids" });

type Known = Pick<LogDocument, "event_id" | "name" | "severity" | "created_at"> & Partial<LogDocument>;

export interface Finder {
  /**
   * @param eventIds up to 1,000 texts; the same one may come twice.
   * @returns what is stored under each, in order; null where nothing is. Failures: `invalid`, `unavailable`, `deadline`.
   */
  find(eventIds: unknown, context: CallContext): Promise<Result<(FoundEntry | null)[]>>;
}

function foundOf({ event_id, name, severity, created_at, stored_at }: Known): FoundEntry {
  return {
    event_id,
    name,
    severity,
    created_at: created_at.toISOString(),
    // Documents of older writers do not say.
    ...(stored_at === undefined ? {} : { stored_at: stored_at.toISOString() }),
  };
}

export function makeFinder(connection: MongoConnection): Finder {
  const lookUp = async (ids: Static<typeof EventIds>, context: CallContext): Promise<Map<string, FoundEntry>> => {
    const { logs } = connection;
    if (logs === undefined) throw new Failure("unavailable", "MongoDB is unavailable", { retryAfterS: 1 });
    const deadline = context.deadline.within(FIND_MS);
    const projection = { _id: 0, event_id: 1, name: 1, severity: 1, created_at: 1, stored_at: 1 } as const;
    // One id as such, not as a list of one: all that FerretDB hands on to its PostgreSQL is equality.
    const [only] = ids;
    const filter = { event_id: ids.length === 1 && only !== undefined ? only : { $in: ids } };
    const options = { projection, ...boundsOf(deadline) };
    const documents = await inMongo(context, "find", "logs", () =>
      deadline.bound(logs.find<Known>(filter, options).toArray(), "MongoDB"),
    );
    return new Map(documents.map((document) => [document.event_id, foundOf(document)]));
  };

  return {
    async find(eventIds, context) {
      const valid = validIds(eventIds);
      if (!valid.ok) return valid;
      const distinct = [...new Set(valid.value)];
      if (distinct.length === 0) return ok([]);
      try {
        const found = await lookUp(distinct, context);
        return ok(valid.value.map((id) => found.get(id) ?? null));
      } catch (error) {
        if (error instanceof Failure) return { ok: false, error };
        connection.suspect();
        return fail("unavailable", "MongoDB is unavailable", { cause: error, retryAfterS: 1 });
      }
    },
  };
}
