/** A call as the server sees it: whose it is, how long it may take, and whether anybody still waits for it. */
import { type Asker, Deadline, RPC_CEILING_MS } from "#shared/resilience";
import { type CallContext, requestIdOf, type Trace, traceOf } from "#shared/telemetry";
import type { MethodTally } from "./tally.ts";

export class ServerCall implements Asker {
  /** -1: a notification, which nobody waits for. */
  readonly id: number;
  readonly tally: MethodTally;
  /** By `performance.now()`. */
  readonly startedAt: number;
  readonly endsAt: number;
  /** Answered before its method has ended, because its time was up. */
  expired = false;

  readonly #meta: Record<string, unknown> | undefined;
  #abort: AbortController | undefined;
  #aborted = false;
  #deadline: Deadline | undefined;
  #requestId: string | undefined;
  #trace: Trace | undefined;

  constructor(
    id: number,
    meta: Record<string, unknown> | undefined,
    tally: MethodTally,
    startedAt: number,
    ms: number,
  ) {
    this.id = id;
    this.#meta = meta;
    this.tally = tally;
    this.startedAt = startedAt;
    this.endsAt = startedAt + ms;
  }

  /**
   * What the method is given. Each part is made when it is asked for: together they would cost more than the rest of a
   * small call. They are the object's own properties, so that it can be spread like any other context.
   */
  context(): CallContext {
    // The getters' `this` is the context (or a copy of it), not the call.
    // oxlint-disable-next-line typescript/no-this-alias
    const call = this;
    return {
      get requestId(): string {
        return call.#requestIdOnce();
      },
      get trace(): Trace {
        return call.#traceOnce();
      },
      get deadline(): Deadline {
        return call.#deadlineOnce();
      },
    };
  }

  /** The caller has gone, or has taken its call back. */
  abort(): void {
    this.#aborted = true;
    this.#abort?.abort();
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  /** Aborts with the call. Made on first use, which few calls come to. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#aborted) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  #requestIdOnce(): string {
    this.#requestId ??= requestIdOf(this.#meta?.["request_id"]);
    return this.#requestId;
  }

  #traceOnce(): Trace {
    this.#trace ??= traceOf(this.#meta?.["traceparent"]);
    return this.#trace;
  }

  #deadlineOnce(): Deadline {
    this.#deadline ??= Deadline.after(this.endsAt - performance.now(), this);
    return this.#deadline;
  }
}

/** The time that a call has (ms) by its `meta.deadline_ms`: the ceiling where it says none; NaN where it is no number. */
export function timeOf(meta: Record<string, unknown> | undefined): number {
  const ms = meta?.["deadline_ms"] ?? RPC_CEILING_MS;
  return typeof ms === "number" ? Math.min(ms, RPC_CEILING_MS) : Number.NaN;
}
