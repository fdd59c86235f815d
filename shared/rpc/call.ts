/** A call as the server sees it: whose it is, how long it may take, and whether anybody still waits for it. */
import type { FailureCode } from "#shared/errors";
import { type Asker, Deadline, RPC_CEILING_MS } from "#shared/resilience";
import {
  type CallContext,
  isFollowing,
  preciseNow,
  recordSpan,
  requestIdOf,
  type SpanAttributes,
  type Trace,
  traceOf,
} from "#shared/telemetry";
import type { MethodTally } from "./tally.ts";

type Meta = Readonly<Record<string, unknown>> | undefined;

/** As the asker of its own deadline it can be taken back without an `AbortController`, which few calls come to need. */
export class ServerCall implements Asker {
  /** -1: a notification, which nobody waits for. */
  readonly id: number;
  readonly tally: MethodTally;
  /** By `performance.now()`. */
  readonly startedAt: number;
  readonly endsAt: number;
  /** Its own span and what that is called, where it is followed. */
  trace: Trace | undefined;
  method = "";
  /** Answered before its method has ended, because its time was up. */
  expired = false;
  #aborted = false;
  #abort: AbortController | undefined;

  constructor(id: number, tally: MethodTally, startedAt: number, ms: number) {
    this.id = id;
    this.tally = tally;
    this.startedAt = startedAt;
    this.endsAt = startedAt + ms;
  }

  /** The caller has gone, or has taken its call back. */
  abort(): void {
    this.#aborted = true;
    this.#abort?.abort();
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#aborted) this.#abort.abort();
    }
    return this.#abort.signal;
  }
}

/** What both sides say of a call (semantic conventions of RPC spans). */
export function rpcAttributes(method: string): SpanAttributes {
  return { "rpc.system.name": "messagepack-rpc", "rpc.method": method };
}

/** Whether a call may turn out to be followed: its trace is dear to make, and most are not. */
export function mayBeFollowed(meta: Meta): boolean {
  if (!isFollowing()) return false;
  const traceparent = meta?.["traceparent"];
  // Of `…-00`, which nearly all of those are that are not sampled; any other is looked at closely.
  return typeof traceparent !== "string" || traceparent.length !== 55 || !traceparent.endsWith("-00");
}

/** Tells of a call that is over, and is followed. @param error its failure's code. */
export function tellOf({ trace, startedAt, method, expired }: ServerCall, error: FailureCode | undefined): void {
  if (trace === undefined) return;
  const endedAt = preciseNow();
  recordSpan(trace, {
    name: method,
    kind: "server",
    startedAt: endedAt - (performance.now() - startedAt),
    endedAt,
    attributes: rpcAttributes(method),
    // Its caller was told so, whatever came of it afterwards.
    ...(expired ? { error: "deadline" } : error === undefined ? {} : { error }),
  });
}

/** What the method of `call` is given. The trace is made when it is asked for: it costs as much as a small call. */
export function contextOf(call: ServerCall, meta: Meta, ms: number): CallContext {
  let made: Trace | undefined;
  return {
    requestId: requestIdOf(meta?.["request_id"]),
    deadline: Deadline.after(ms, call),
    // The object's own property, so that a copy (`{ ...context }`) has it too.
    get trace(): Trace {
      made ??= traceOf(meta?.["traceparent"]);
      return made;
    },
  };
}

/** The time that a call has (ms) by its `meta.deadline_ms`: the ceiling where it says none; NaN where it is no number. */
export function timeOf(meta: Meta): number {
  const ms = meta?.["deadline_ms"] ?? RPC_CEILING_MS;
  return typeof ms === "number" ? Math.min(ms, RPC_CEILING_MS) : Number.NaN;
}
