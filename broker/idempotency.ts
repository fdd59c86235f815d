/**
 * Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): a request that is sent twice happens once.
 *
 * That it happens once needs nothing of this file: the key becomes the id (ids.ts), and who owns the entry, event or mail
 * keeps one of an id. What is here makes it exact where it can be: each broker remembers its first answers for 24 h, gives
 * them again as they were, and sees another body and a request under way. docs/idempotency.md says what holds where.
 */
import { Failure, type FailureCode, fail, ok, type Result } from "#shared/errors";
import { idempotencyKeyOf } from "#shared/ids";
import type { Metrics } from "#shared/telemetry";
import type { Ids, KeyScope } from "./ids.ts";

/** How long a first answer is given again, and how many, and how much of them, are kept; the oldest make room. */
const KEPT_MS = 24 * 3_600_000;
const KEPT_ANSWERS = 50_000;
const KEPT_BYTES = 32 * 1_048_576;
/** What an answer takes besides its text: two hashes of 43 characters, the object, the map's entry. */
const BYTES_AN_ANSWER = 300;

/**
 * The refusal that is an answer to keep. All others say "not now", or are said of the body before anything was done:
 * they come again by themselves, and a corrected body is no other use of the key.
 */
const KEPT_FAILURES: readonly FailureCode[] = ["unauthenticated"];

/** How the refusals of a key begin that another request has; the mail service says it so, too. */
export const KEY_REUSED = "Idempotency-Key was used before for another";

/** The key in the header's value; undefined where there is none. */
export function keyOf(header: string | null): Result<string | undefined> {
  return header === null ? ok(undefined) : idempotencyKeyOf(header);
}

/** A result, and whether it was given before. */
export interface Answered<T> {
  readonly result: Result<T>;
  readonly replayed: boolean;
}

export interface FirstAnswers {
  /**
   * Does `work` unless this broker has its answer, or does it already, under `scope`.
   * @param keeps whether a success is to be given again.
   * @returns besides what `work` says: `conflict` while it is under way, `invalid` for another body under the same key.
   */
  run<T>(
    scope: KeyScope,
    body: unknown,
    work: () => Promise<Result<T>>,
    keeps?: (value: T) => boolean,
  ): Promise<Answered<T>>;
}

interface Kept {
  readonly bodyHash: string;
  /** `{ value }`, or `{ code, message }`, as JSON: nothing that was answered can be changed later. */
  readonly answer: string;
  readonly endsAt: number;
}

export interface FirstAnswersOptions {
  readonly ids: Pick<Ids, "fingerprint">;
  readonly metrics: Metrics;
  readonly keptMs?: number;
  readonly keptAnswers?: number;
  readonly keptBytes?: number;
}

export function makeFirstAnswers(options: FirstAnswersOptions): FirstAnswers {
  const { ids, metrics, keptMs = KEPT_MS, keptAnswers = KEPT_ANSWERS, keptBytes = KEPT_BYTES } = options;
  const requests = metrics.counter("broker_keyed_requests_total", "Requests with an Idempotency-Key.", ["outcome"]);
  /** Oldest first: that is the order of insertion. */
  const kept = new Map<string, Kept>();
  const underWay = new Map<string, string>();
  let bytes = 0;
  metrics.gauge("broker_first_answers", "Answers that are kept for their Idempotency-Key.", [], (gauge) =>
    gauge.set(kept.size),
  );
  metrics.gauge("broker_first_answers_bytes", "Memory that these take.", [], (gauge) => gauge.set(bytes));

  const sizeOf = ({ answer }: Kept): number => 2 * answer.length + BYTES_AN_ANSWER;

  function forget(name: string, answer: Kept): void {
    kept.delete(name);
    bytes -= sizeOf(answer);
  }

  function makeRoom(): void {
    const now = performance.now();
    for (const [name, answer] of kept) {
      if (answer.endsAt > now && kept.size <= keptAnswers && bytes <= keptBytes) return;
      forget(name, answer);
    }
  }

  function keep(name: string, bodyHash: string, answer: string): void {
    const entry = { bodyHash, answer, endsAt: performance.now() + keptMs };
    kept.set(name, entry);
    bytes += sizeOf(entry);
    makeRoom();
  }

  const told = <T>(outcome: string, result: Result<T>, replayed = false): Answered<T> => {
    requests.inc({ outcome });
    return { result, replayed };
  };

  return {
    async run<T>(
      scope: KeyScope,
      body: unknown,
      work: () => Promise<Result<T>>,
      keeps: (value: T) => boolean = () => true,
    ) {
      makeRoom();
      const name = ids.fingerprint(canonical([scope.caller, scope.route, scope.key]));
      const bodyHash = ids.fingerprint(canonical(body));
      const before = kept.get(name);
      const current = underWay.get(name) ?? before?.bodyHash;
      if (current !== undefined && current !== bodyHash)
        return told("other_body", fail("invalid", `${KEY_REUSED} request`));
      if (before !== undefined) return told("replayed", resultOf<T>(before.answer), true);
      if (current !== undefined) {
        return told(
          "under_way",
          fail("conflict", "a request with this Idempotency-Key is under way", { retryAfterS: 1 }),
        );
      }
      underWay.set(name, bodyHash);
      try {
        const result = await work();
        const { ok: done } = result;
        if (done ? keeps(result.value) : KEPT_FAILURES.includes(result.error.code)) {
          keep(name, bodyHash, textOf(result));
        }
        return told("first", result);
      } finally {
        underWay.delete(name);
      }
    },
  };
}

type Stored<T> = { readonly value: T } | { readonly code: FailureCode; readonly message: string };

function textOf(result: Result<unknown>): string {
  return JSON.stringify(
    result.ok ? { value: result.value } : { code: result.error.code, message: result.error.message },
  );
}

function resultOf<T>(text: string): Result<T> {
  // What `textOf` wrote, in this process.
  const stored = JSON.parse(text) as Stored<T>;
  return "value" in stored ? ok(stored.value) : { ok: false, error: new Failure(stored.code, stored.message) };
}

/** A JSON value as text that does not depend on the order of keys (as RFC 8785 sorts them). */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "";
  const fields = Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`);
  return `{${fields.join(",")}}`;
}
