/**
 * How this broker hears of revocations: auth tells them to everybody over RabbitMQ, and gives them to whoever asks. It is
 * asked at start, after each gap of the subscription, every two seconds besides (auth may be kept from telling, while we hear well),
 * and every second while RabbitMQ is away.
 */
import { Revocation, type RevocationList, SIGNING_KEYS_CHANGED } from "#contracts/identity";
import { MESSAGE_LIMITS } from "#contracts/limits";
import { fail, ok, type Result } from "#shared/errors";
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { makeBell } from "#shared/resilience";
import { type CallContext, type Metrics, quietContext } from "#shared/telemetry";
import { makeValidator, parseJson } from "#shared/validation";
import type { Revocations } from "./revocations.ts";

const READ_MS = 2_000;
/** About how long until auth is asked again (ms): with the subscription, and without. The bell adds a quarter at most. */
const SUBSCRIBED_MS = 2_000;
const ALONE_MS = 800;
/** Pages in a row; what is left then is for the next round. */
const PAGES = 1_000;

const revocationOf = makeValidator(Revocation, { name: "the event" });

/** What is told of a subscription: see `makeSubscriber`. */
export interface Hearing {
  readonly onMessage: (routingKey: string, body: Uint8Array) => void;
  readonly onUp: () => void;
  readonly onDown: (reason: unknown) => void;
}

export interface RevocationFeedOptions {
  readonly revocations: Pick<Revocations, "take" | "whole">;
  readonly subscribe: (hearing: Hearing) => AsyncDisposable;
  /** Auth's `GET /revocations`. @param since `as_of` of the answer before; undefined for all that matter. */
  readonly read: (since: string | undefined, context: CallContext) => Promise<Result<RevocationList>>;
  /** A signing key was added or retired. */
  readonly onSigningKeys: () => void;
  /** Up as long as one of both ways is open, and nothing may have been missed on it: else tokens go on by their own time, and keys by what is remembered. */
  readonly dependency: Dependency;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Default 800. */
  readonly aloneMs?: number;
  /** Default 2,000. */
  readonly subscribedMs?: number;
}

/** Begins at once; goes on until it is disposed. */
export function makeRevocationFeed(options: RevocationFeedOptions): AsyncDisposable {
  const { revocations, dependency, metrics, log, aloneMs = ALONE_MS, subscribedMs = SUBSCRIBED_MS } = options;
  const closing = new AbortController();
  const bell = makeBell();
  let isSubscribed = false;
  let isRead = false;
  let isWhole = false;
  /** How often the subscription began, and how often it had when auth was last asked for all that is new. */
  let beginnings = 0;
  let readSince = -1;
  let since: string | undefined;
  let deafSince: number | undefined = performance.now();
  const delays = metrics.histogram(
    "broker_revocation_seconds",
    "Time from a revocation at auth to its effect here, by both clocks, where it was told over RabbitMQ.",
  );
  metrics.gauge(
    "broker_revocations_deaf_seconds",
    "How long revocations have not been heard; 0 while they are.",
    [],
    (gauge) => gauge.set(deafSince === undefined ? 0 : (performance.now() - deafSince) / 1_000),
  );

  function show(reason: unknown): void {
    // What was told before the subscription began was not heard: it is read.
    if (isRead || (isSubscribed && readSince === beginnings)) {
      deafSince = undefined;
      dependency.up();
      return;
    }
    deafSince ??= performance.now();
    if (!closing.signal.aborted) dependency.down(reason);
  }

  const subscription = options.subscribe({
    onMessage(routingKey, body) {
      if (routingKey === SIGNING_KEYS_CHANGED) return options.onSigningKeys();
      const parsed = parseJson(body, MESSAGE_LIMITS);
      const told = parsed.ok ? revocationOf(parsed.value) : parsed;
      if (!told.ok) {
        log.warn("an event of auth's is none that is known here", { routing_key: routingKey, reason: told.error });
        return;
      }
      revocations.take([told.value]);
      const seconds = (Date.now() - Date.parse(told.value.at)) / 1_000;
      if (seconds >= 0) delays.observe(seconds);
    },
    onUp() {
      isSubscribed = true;
      beginnings += 1;
      show(undefined);
      bell.ring();
      // What was told of them in between was not heard either.
      options.onSigningKeys();
    },
    onDown(reason) {
      if (isSubscribed) bell.ring();
      isSubscribed = false;
      show(reason);
    },
  });

  /** All that is new at auth. */
  async function read(): Promise<Result<void>> {
    for (let page = 0; page < PAGES && !closing.signal.aborted; page += 1) {
      const told = await options.read(since, quietContext(READ_MS, closing.signal));
      if (!told.ok) {
        // Auth does not know where we were: from the beginning again.
        if (told.error.code === "invalid" || told.error.code === "malformed") since = undefined;
        return told;
      }
      revocations.take(told.value.items);
      since = told.value.as_of;
      if (told.value.more) continue;
      if (!isWhole) revocations.whole();
      isWhole = true;
      return ok();
    }
    return fail("exhausted", "more revocations than can be read in a row");
  }

  async function keepReading(): Promise<void> {
    while (!closing.signal.aborted) {
      const from = beginnings;
      const done = await read();
      isRead = done.ok;
      if (done.ok) readSince = from;
      show(done.ok ? undefined : done.error);
      await bell.wait(isSubscribed && isRead ? subscribedMs : aloneMs);
    }
  }
  const reading = keepReading();

  return {
    async [Symbol.asyncDispose]() {
      closing.abort(new Error("the broker is stopping"));
      bell.ring();
      await subscription[Symbol.asyncDispose]();
      await reading;
    },
  };
}
