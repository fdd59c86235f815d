/**
 * What a span of the database is called: the operations and tables of its statements, never a value. Statements of ours
 * are templates, whose texts are in the source and whose values are parameters.
 */
import type { SpanAttributes } from "#shared/telemetry";
import type { Target } from "./failures.ts";
import type { Sql } from "./types.ts";

/** Longest summary (https://opentelemetry.io/docs/specs/semconv/db/database-spans/: 255). */
const SUMMARY_CHARACTERS = 255;
const OPERATION = /^\s*(select|insert|update|delete|with|lock|notify|listen|set)\b/i;
const KEYWORDS = "only|select|set|lateral|values";
/** What stands before the name of a table; not functions, nor the `update` of a lock. */
const TABLE = new RegExp(
  `\\b(?:into\\s+(?!(?:${KEYWORDS})\\b)([a-z_][a-z0-9_.]*)|(?:from|join|(?<!for\\s+(?:no\\s+key\\s+)?)update)\\s+(?!(?:${KEYWORDS})\\b)([a-z_][a-z0-9_.]*)\\b(?!\\s*\\())`,
  "gi",
);

/** `SELECT users`; undefined for what is no statement, such as a part of one. */
export function summaryOf(text: string): string | undefined {
  const operation = OPERATION.exec(text)?.[1]?.toUpperCase();
  if (operation === undefined) return undefined;
  const tables = new Set(Array.from(text.matchAll(TABLE), ([, into, other = ""]) => (into ?? other).toLowerCase()));
  return [operation, ...tables].join(" ");
}

/** By template: there is one for each place in the source. */
const summaries = new WeakMap<readonly string[], { readonly text: string | undefined }>();

function knownSummaryOf(template: readonly string[]): string | undefined {
  const known = summaries.get(template) ?? { text: summaryOf(template.join(" ")) };
  summaries.set(template, known);
  return known.text;
}

export interface Statements {
  /** The same, noting what is asked. */
  readonly sql: Sql;
  /** How many there were. */
  readonly count: number;
  /** What all of them did, each kind once. */
  readonly summary: string;
}

/** Where a span of the database leads. */
export function placeOf({ host, port, database }: Target): SpanAttributes {
  return {
    "db.system.name": "postgresql",
    "db.namespace": database,
    "server.address": host,
    "server.port": port,
  };
}

/** What a span of the database has done. Of one statement its operation; a transaction is one of its own. */
export function attributesOf(kind: "query" | "transaction", { summary, count }: Statements): SpanAttributes {
  const [first = ""] = summary.split(" ", 1);
  const operation = kind === "transaction" ? "TRANSACTION" : first;
  return {
    ...(operation === "" ? {} : { "db.operation.name": operation }),
    ...(summary === "" ? {} : { "db.query.summary": summary }),
    ...(count > 1 ? { "db.operation.batch.size": count } : {}),
  };
}

/** Looks at the statements that are given to `sql`. For work whose span is recorded: a call more for each. */
export function watched(sql: Sql): Statements {
  const kinds = new Set<string>();
  let count = 0;
  return {
    sql: new Proxy<Sql>(sql, {
      apply(target, self, args: unknown[]) {
        const [first] = args;
        const summary = Array.isArray(first) && "raw" in first ? knownSummaryOf(first as string[]) : undefined;
        if (summary !== undefined) {
          count += 1;
          kinds.add(summary);
        }
        const query: unknown = Reflect.apply(target as unknown as (...given: unknown[]) => unknown, self, args);
        return query;
      },
    }),
    get count() {
      return count;
    },
    get summary() {
      return [...kinds].join("; ").slice(0, SUMMARY_CHARACTERS);
    },
  };
}
