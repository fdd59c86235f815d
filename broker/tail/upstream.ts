/** One logger's tail for one filter, held open and opened again: what it tells is handed on, and where it was is remembered. */
import { positionText, sinceText, type TailPosition, tailId, tailPlaceOf } from "#contracts/log-tail";
import { serviceKeyHeaders } from "#shared/client";
import type { Secret } from "#shared/config";
import { type Endpoint, fetchAt } from "#shared/discovery";
import { Failure, fail, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { pause, reconnectBackoff } from "#shared/resilience";
import { eventsOf, type ReceivedEvent } from "#shared/sse";
import { traceHeaders, untraced } from "#shared/telemetry";

/** Longest until a logger begins to answer (ms). */
const ANSWER_MS = 3_000;
/** Longest silence: a logger sends a heartbeat every 5 s (ms). */
export const SILENCE_MS = 12_000;
/** How long a connection has to last before the next wait is a short one again (ms). */
const SOUND_MS = 5_000;

export interface Upstream {
  /** What the first try came to: failure `invalid` with the logger's words, `overloaded`, `unavailable`. */
  readonly first: Promise<Result<void>>;
  readonly logger: Endpoint;
  readonly isConnected: boolean;
  /** Up to where this logger's entries were handed on; undefined before it has told. */
  readonly position: TailPosition | undefined;
  close(): void;
}

export interface UpstreamOptions {
  readonly logger: Endpoint;
  /** The filter. */
  readonly query: string;
  /** Begins with what this logger stored since then (ms since 1970). Default: with what it stores from now on. */
  readonly since?: number;
  readonly key: Secret | undefined;
  readonly log: Log;
  readonly onEvent: (event: ReceivedEvent) => void;
  readonly onState: () => void;
}

/** A stream of a logger's events. @returns failure as `Upstream.first`. */
export async function openTail(
  logger: Endpoint,
  query: string,
  key: Secret | undefined,
  signal: AbortSignal,
): Promise<Result<ReadableStream<Uint8Array>>> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error("the logger does not begin to answer")), ANSWER_MS);
  try {
    const answer = await fetchAt(logger, `/logs/tail?${query}`, {
      headers: { accept: "text/event-stream", ...traceHeaders(untraced()), ...serviceKeyHeaders(key) },
      redirect: "manual",
      signal: AbortSignal.any([signal, late.signal]),
    });
    if (answer.status === 200 && answer.body !== null) return ok(answer.body);
    const told = (await answer.json()) as { message?: unknown };
    const message = typeof told.message === "string" ? told.message : undefined;
    if (answer.status === 422) return fail("invalid", message);
    if (answer.status === 503) return fail("overloaded", undefined, { cause: message, retryAfterS: 5 });
    return fail("bad_gateway", undefined, { cause: `${answer.status} ${message ?? ""}` });
  } catch (cause) {
    return fail("unavailable", "the logger is not reachable", { cause, retryAfterS: 1 });
  } finally {
    clearTimeout(timer);
  }
}

/** A position that is one logger's alone: what a catching-up client is told is none. */
function positionIn(id: string): TailPosition | undefined {
  const place = tailPlaceOf(id);
  return place !== undefined && "positions" in place && place.positions.length === 1 ? place.positions[0] : undefined;
}

export function makeUpstream({ logger, query, key, log, onEvent, onState, ...options }: UpstreamOptions): Upstream {
  const closing = new AbortController();
  const { promise: first, resolve: told } = Promise.withResolvers<Result<void>>();
  let isConnected = false;
  let position: TailPosition | undefined;
  let { since } = options;

  function state(connected: boolean): void {
    if (isConnected === connected) return;
    isConnected = connected;
    if (!closing.signal.aborted) onState();
  }

  async function read(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const { events, lastId } of eventsOf(stream, SILENCE_MS)) {
      for (const event of events) {
        position = positionIn(event.id) ?? position;
        onEvent(event);
      }
      position = positionIn(lastId) ?? position;
    }
  }

  /** @returns how long it lasted (ms); 0 where it did not begin. */
  async function once(): Promise<number> {
    const broken = new AbortController();
    const signal = AbortSignal.any([closing.signal, broken.signal]);
    const place = position !== undefined ? positionText(position) : since === undefined ? undefined : sinceText(since);
    // Of what was stored meanwhile this logger's only: the others tell theirs themselves.
    const after = place === undefined ? "" : `&own=true&after=${encodeURIComponent(tailId("", place))}`;
    // What it stores until it is followed at last is told then.
    since ??= Date.now();
    const opened = await openTail(logger, `${query}${after}`, key, signal);
    told(opened.ok ? ok() : opened);
    if (!opened.ok) throw opened.error;
    const startedAt = performance.now();
    state(true);
    try {
      await read(opened.value);
    } catch (error) {
      if (!closing.signal.aborted) log.debug("a logger's tail was lost", { error });
    } finally {
      broken.abort();
      state(false);
    }
    return performance.now() - startedAt;
  }

  async function live(): Promise<void> {
    for (let attempt = 0; !closing.signal.aborted; attempt += 1) {
      try {
        if ((await once()) > SOUND_MS) attempt = 0;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        // The filter is not one, and will be none.
        if (error.code === "invalid") return;
        log.debug("a logger's tail cannot be had", { attempt, reason: error });
      }
      await pause(reconnectBackoff(attempt), closing.signal);
    }
  }

  // It ends with `close`; what would throw in it is a bug, and ends the process as such.
  void live();

  return {
    first,
    logger,
    get isConnected() {
      return isConnected;
    },
    get position() {
      return position;
    },
    close() {
      closing.abort(new Error("nobody follows any more"));
      told(fail("unavailable"));
    },
  };
}
