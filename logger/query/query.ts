/** Answers what is asked of the entries: decides how much at once, how long, and what is said where MongoDB is away. */
import type { LogFilter, LogHistogram, LogItem, LogPage } from "#contracts/log-queries";
import { Failure, fail, ok, type Result } from "#shared/errors";
import { Deadline } from "#shared/resilience";
import type { CallContext } from "#shared/telemetry";
import type { Logs, MongoConnection } from "../mongo.ts";
import type { Catalog } from "./catalog.ts";
import { makeCatalogReader } from "./catalogued.ts";
import { decodePlace, encodePlace } from "./cursor.ts";
import { bucketsOf, Histogram } from "./histogram.ts";
import { makeIndexReader } from "./indexed.ts";
import type { Found, Place, Reader } from "./reader.ts";
import { makeTurns } from "./turns.ts";

export interface Queries {
  /**
   * Newest first. A page may have fewer than `limit` entries, none even, and still a cursor: go on with it.
   * Failures: `invalid` (the cursor), `unavailable`, `deadline`, `exhausted` where too many are asked at once.
   */
  page(filter: LogFilter, limit: number, cursor: string | undefined, context: CallContext): Promise<Result<LogPage>>;
  /** One entry; also fails as `not_found`. */
  entry(eventId: string, context: CallContext): Promise<Result<LogItem>>;
  /** Also fails as `invalid` for an interval that is none. */
  histogram(filter: LogFilter, interval: string | undefined, context: CallContext): Promise<Result<LogHistogram>>;
  /** All of them, newest first, some at a time. @throws Failure as `page`; of `signal` when that fires. */
  all(filter: LogFilter, signal: AbortSignal): AsyncGenerator<readonly LogItem[]>;
}

/** Below what HTTP gives a request, so that the caller hears of it (ms). */
const QUERY_MS = 28_000;
/** At a time: beyond, they would only take connections from those who store. Exports have a limit of their own. */
const QUERIES_AT_ONCE = 4;
const QUERIES_WAITING = 32;
/** A part of an export: some segments' worth, read at one go. */
const EXPORTED_AT_ONCE = 1_000;

export function makeQueries(connection: MongoConnection, catalog: Catalog): Queries {
  const catalogued = makeCatalogReader(catalog);
  const indexed = makeIndexReader();
  const message = `${QUERIES_AT_ONCE} queries are at work and ${QUERIES_WAITING} wait: try again`;
  const turns = makeTurns({ atOnce: QUERIES_AT_ONCE, waiting: QUERIES_WAITING, message });
  const reader = (): { reader: Reader; kind: string } =>
    connection.isFerretdb ? { reader: catalogued, kind: "f" } : { reader: indexed, kind: "m" };

  const away = (): Failure => new Failure("unavailable", "MongoDB is unavailable", { retryAfterS: 1 });

  const ask = async <T>(deadline: Deadline, question: (logs: Logs) => Promise<T>): Promise<T> => {
    const { logs } = connection;
    if (logs === undefined) throw away();
    try {
      return await question(logs);
    } catch (error) {
      if (deadline.passed) {
        throw new Failure("deadline", "the query took too long: narrow it by from and to", { cause: error });
      }
      if (error instanceof Failure) throw error;
      connection.suspect();
      throw new Failure("unavailable", "MongoDB is unavailable", { cause: error, retryAfterS: 1 });
    }
  };
  const answer = async <T>(context: CallContext, question: (logs: Logs, deadline: Deadline) => Promise<T>) => {
    const deadline = context.deadline.within(QUERY_MS);
    try {
      return ok(await ask(deadline, (logs) => turns.take(deadline, () => question(logs, deadline))));
    } catch (error) {
      if (error instanceof Failure) return { ok: false as const, error };
      throw error;
    }
  };

  return {
    async page(filter, limit, cursor, context) {
      // Before it was there for the first time it is not known whose cursors these are.
      if (connection.logs === undefined) return { ok: false, error: away() };
      const { reader: by, kind } = reader();
      const after = cursor === undefined ? ok(undefined) : decodePlace(cursor, kind);
      if (!after.ok) return after;
      const found = await answer(context, (logs, deadline) => by.page(logs, filter, after.value, limit, deadline));
      if (!found.ok) return found;
      const { items, next, text } = found.value;
      return ok({
        items: items.map(({ item }) => item),
        ...(next === undefined ? {} : { next_cursor: encodePlace(next, kind) }),
        ...(text === undefined ? {} : { text }),
      });
    },
    async entry(eventId, context) {
      const { reader: by } = reader();
      const filter = { event_id: eventId };
      const found = await answer(context, (logs, deadline) => by.page(logs, filter, undefined, 1, deadline));
      if (!found.ok) return found;
      const [first] = found.value.items;
      return first === undefined ? fail("not_found", "no entry has this event_id") : ok(first.item);
    },
    async histogram(filter, interval, context) {
      const from = filter.from === undefined ? undefined : Date.parse(filter.from);
      const to = filter.to === undefined ? undefined : Date.parse(filter.to);
      const buckets = bucketsOf({ from, to, interval }, Date.now());
      if (!buckets.ok) return buckets;
      const histogram = new Histogram(buckets.value);
      const counted = await answer(context, (logs, deadline) =>
        reader().reader.count(
          logs,
          filter,
          buckets.value,
          (at, name, severity, entries) => histogram.add(at, name, severity, entries),
          deadline,
        ),
      );
      return counted.ok ? ok(histogram.report()) : counted;
    },
    async *all(filter, signal) {
      const { reader: by } = reader();
      let after: Place | undefined;
      do {
        const deadline = Deadline.after(QUERY_MS, signal);
        let found: Found;
        try {
          found = await ask(deadline, (logs) => by.page(logs, filter, after, EXPORTED_AT_ONCE, deadline));
        } catch (error) {
          signal.throwIfAborted();
          throw error;
        }
        if (found.items.length > 0) yield found.items.map(({ item }) => item);
        after = found.next;
      } while (after !== undefined);
    },
  };
}
