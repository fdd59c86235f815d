/** What travels with a request from part to part: its id, its trace, its time. */
import { Deadline, REST_CEILING_MS } from "#shared/resilience";
import { isContinuedSampled, isRootSampled } from "./sink.ts";

/** W3C Trace Context, version 00 (https://www.w3.org/TR/trace-context/). */
export interface Trace {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hexadecimal digits, not all zero: the span that is the parent of what is called next. */
  readonly spanId: string;
  /** The span that this one is a part of; absent at the root. */
  readonly parentId?: string;
  /** The parent is a span of somebody who is none of us: nobody here has it. */
  readonly fromOutside?: true;
  /** Whether its spans are recorded: decided once, at the root. */
  readonly sampled: boolean;
  /** `tracestate` of whoever called us: handed on as it came where HTTP goes on, and never read (§3.3). */
  readonly state?: string;
}

/** Whom a request is for: where from, and with what. Text for people; no access follows from it. */
export interface Client {
  /** As text; `unknown` where nobody can tell. */
  readonly address: string;
  /** `User-Agent`: 1 to 256 printable characters of ASCII. */
  readonly agent?: string;
}

export interface CallContext {
  /** 1 to 128 characters of `[A-Za-z0-9._:/+=@-]`; the caller's, if it sent a sane one. */
  readonly requestId: string;
  readonly trace: Trace;
  readonly deadline: Deadline;
  /** Told to the services that are called for it; absent for work of our own. */
  readonly client?: Client;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Other tracers' own: what is longer is let go whole, since half of a list member is worse than none (§3.3.1.5). */
const TRACESTATE = /^[\x20-\x7e]{1,512}$/;
const SANE_ID = /^[A-Za-z0-9._:/+=@-]{1,128}$/;

function randomHex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
}

export function newTrace(): Trace {
  const traceId = randomHex(16);
  return { traceId, spanId: randomHex(8), sampled: isRootSampled(traceId) };
}

/** A trace that nobody records, and that takes no place among those that are: of probes, which would be most of what there is. */
export function untraced(): Trace {
  return { traceId: randomHex(16), spanId: randomHex(8), sampled: false };
}

/** A span of its own within `trace`. */
export function childOf({ traceId, spanId, sampled, state }: Trace): Trace {
  const child = { traceId, spanId: randomHex(8), parentId: spanId, sampled };
  return state === undefined ? child : { ...child, state };
}

/**
 * The trace that a `traceparent` header continues, or a new one where there is none or a malformed one (§4.3).
 * @param tracestate the header that came with it.
 */
export function traceOf(traceparent: unknown, tracestate?: unknown): Trace {
  return continued(traceparent, tracestate, false);
}

/** The same for what somebody sends who is none of us: that it is to be recorded is his wish, and is met within limits. */
export function traceFromOutside(traceparent: unknown, tracestate?: unknown): Trace {
  const trace = continued(traceparent, tracestate, true);
  return trace.parentId === undefined ? trace : { ...trace, fromOutside: true };
}

function continued(traceparent: unknown, tracestate: unknown, fromOutside: boolean): Trace {
  const parts = typeof traceparent === "string" ? TRACEPARENT.exec(traceparent) : null;
  const [, version, traceId, parentId, flags, rest] = parts ?? [];
  const malformed =
    traceId === undefined ||
    parentId === undefined ||
    version === "ff" ||
    (version === "00" && rest !== undefined) ||
    /^0+$/.test(traceId) ||
    /^0+$/.test(parentId);
  if (malformed) return newTrace();
  const asked = (Number.parseInt(flags ?? "0", 16) & 1) === 1;
  const given = { traceId, spanId: parentId, sampled: isContinuedSampled(traceId, asked, fromOutside) };
  return childOf(
    typeof tracestate === "string" && TRACESTATE.test(tracestate) ? { ...given, state: tracestate } : given,
  );
}

/** As the `traceparent` header carries it. */
export function traceparentOf(trace: Trace): string {
  return `00-${trace.traceId}-${trace.spanId}-${trace.sampled ? "01" : "00"}`;
}

/** What an HTTP request carries of a trace. */
export function traceHeaders(trace: Trace): Record<string, string> {
  const traceparent = traceparentOf(trace);
  return trace.state === undefined ? { traceparent } : { traceparent, tracestate: trace.state };
}

/** What ties a line of a log to its request. */
export function idsOf({ requestId, trace }: Pick<CallContext, "requestId" | "trace">): {
  request_id: string;
  trace_id: string;
} {
  return { request_id: requestId, trace_id: trace.traceId };
}

/** The caller's request id if it is sane, else a new one (UUIDv7, so that ids sort by time). */
export function requestIdOf(given: unknown): string {
  return typeof given === "string" && SANE_ID.test(given) ? given : Bun.randomUUIDv7();
}

/** A context from nowhere, for work that no request asked for (background jobs, replays). */
export function newContext(ms: number = REST_CEILING_MS, parent?: AbortSignal): CallContext {
  return { requestId: Bun.randomUUIDv7(), trace: newTrace(), deadline: Deadline.after(ms, parent) };
}

/** The same for what the clock asks, all day long: nothing of it is recorded. */
export function quietContext(ms: number, parent?: AbortSignal): CallContext {
  return { requestId: Bun.randomUUIDv7(), trace: untraced(), deadline: Deadline.after(ms, parent) };
}

/** `context` with a deadline that is `ms` from now at the latest. */
export function within(context: CallContext, ms: number): CallContext {
  return { ...context, deadline: context.deadline.within(ms) };
}
