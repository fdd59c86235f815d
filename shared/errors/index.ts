/**
 * Every way in which an operation may fail on purpose, and what each becomes at each edge.
 * Operations return a `Result`; `throw` is for bugs and for the very edge. No other table maps failures.
 */

/**
 * What a consumer does with a message whose handling failed: dead-letter it, hold it until the system is well again,
 * or try it alone later, since the fault may be this message's only (a few times, then it is dead-lettered).
 */
export type QueueFate = "dead" | "hold" | "retry";

/** RPC error codes as the protocol names them (docs/rpc.md). */
export type RpcCode =
  | "invalid"
  | "unauthenticated"
  | "forbidden"
  | "not_found"
  | "exhausted"
  | "unavailable"
  | "deadline"
  | "internal";

/**
 * The closed table of failure codes. A retired code is never used again.
 * `message` is what a caller reads when the failure itself has none that is safe to show.
 */
export const FAILURES = {
  /** The bytes are not what the content type says: not JSON, two values, an unknown action. */
  malformed: { http: 400, rpc: "invalid", queue: "dead", message: "malformed request" },
  /** It is not known who is calling. */
  unauthenticated: { http: 401, rpc: "unauthenticated", queue: "dead", message: "authentication needed" },
  /** The caller is known and may not do this. */
  forbidden: { http: 403, rpc: "forbidden", queue: "dead", message: "not allowed" },
  not_found: { http: 404, rpc: "not_found", queue: "dead", message: "not found" },
  method_not_allowed: { http: 405, rpc: "not_found", queue: "dead", message: "method not allowed" },
  /** It does not fit what is there or under way; the same call may succeed later. */
  conflict: { http: 409, rpc: "invalid", queue: "retry", message: "conflict" },
  too_large: { http: 413, rpc: "invalid", queue: "dead", message: "too large" },
  unsupported_media_type: { http: 415, rpc: "invalid", queue: "dead", message: "unsupported media type" },
  /** Well-formed, and not valid; the message names the field. */
  invalid: { http: 422, rpc: "invalid", queue: "dead", message: "invalid request" },
  /** A limit on rate or number is reached; the same call may succeed later. */
  exhausted: { http: 429, rpc: "exhausted", queue: "hold", message: "too many requests" },
  /** A bug of ours. Its cause is in the log, never in the answer. */
  internal: { http: 500, rpc: "internal", queue: "retry", message: "internal error" },
  /** A part behind answered, and not by its contract. */
  bad_gateway: { http: 502, rpc: "unavailable", queue: "hold", message: "bad answer from a service behind" },
  /** A part behind is away, or this one is starting, stopping or full. */
  unavailable: { http: 503, rpc: "unavailable", queue: "hold", message: "service unavailable" },
  /** A part is well and has more to do than it can just now: nothing was done. Not a sign of sickness, as the one before is. */
  overloaded: { http: 503, rpc: "exhausted", queue: "hold", message: "too much to do just now" },
  /** No time is left; the work may or may not have been done. */
  deadline: { http: 504, rpc: "deadline", queue: "hold", message: "took too long" },
} as const satisfies Record<string, { http: number; rpc: RpcCode; queue: QueueFate; message: string }>;

export type FailureCode = keyof typeof FAILURES;

/** What a failure may carry besides its message. */
export interface FailureOptions {
  /** What led to it: goes to the log, never to a caller. */
  cause?: unknown;
  /** When trying again makes sense (seconds from now): becomes `Retry-After`. */
  retryAfterS?: number;
}

/** A failure with a code of the closed table. `message` is safe to show to the caller; `cause` is not. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  readonly retryAfterS: number | undefined;

  constructor(code: FailureCode, message: string = FAILURES[code].message, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterS = options.retryAfterS;
  }

  /** The HTTP status (RFC 9110) of this failure. */
  get status(): number {
    return FAILURES[this.code].http;
  }
}

/** The outcome of an operation that may fail on purpose. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: Failure };

export function ok(): Result<void>;
export function ok<T>(value: T): Result<T>;
export function ok<T>(value?: T): Result<T | undefined> {
  return { ok: true, value };
}

export function fail(code: FailureCode, message?: string, options?: FailureOptions): Result<never> {
  return { ok: false, error: new Failure(code, message, options) };
}

/** For the edge, where a failure is thrown. @throws the failure of `result`. */
export function orThrow<T>(result: Result<T>): T {
  if (!result.ok) throw result.error;
  return result.value;
}

/** The failure that anything thrown stands for: itself, a deadline where a signal fired, else `internal` (a bug). */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  if (thrown instanceof DOMException && (thrown.name === "TimeoutError" || thrown.name === "AbortError")) {
    return new Failure("deadline", undefined, { cause: thrown });
  }
  return new Failure("internal", undefined, { cause: thrown });
}

/** One line for a log: the message of an error and of what caused it, outermost first; never a stack. */
export function messageOf(thrown: unknown): string {
  const parts: string[] = [];
  let at: unknown = thrown;
  while (at !== undefined && at !== null && parts.length < 5) {
    if (at instanceof AggregateError && at.errors.length > 0 && at.message === "") at = at.errors[0];
    const text = at instanceof Error ? at.message || at.name : String(at);
    if (text !== "" && !parts.includes(text)) parts.push(text);
    at = at instanceof Error ? at.cause : undefined;
  }
  return parts.join(": ");
}
