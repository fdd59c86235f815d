/**
 * Brings out what waits in the outbox, each lane by itself: what ends and what changed to RabbitMQ (in order: what comes
 * behind a failure waits for it), entries `audit` to the log by RabbitMQ, mails to the mail service. At least once, always
 * under the same id: told again after a failure, it is the same message, entry, mail.
 *
 * Woken by `ring`, by NOTIFY of whoever wrote (another replica, a command), and by the clock for what nobody told of.
 */
import { LOGS_EXCHANGE, routingKeyOf } from "#contracts/events";
import { IDENTITY_EXCHANGE } from "#contracts/identity";
import type { MailMessage } from "#contracts/mail";
import type { OutgoingMessage, Publisher } from "#shared/amqp";
import { FAILURES, type Failure, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { Database } from "#shared/postgres";
import { type Bell, Deadline, exponential, GATHER_MS, makeBell, pause } from "#shared/resilience";
import { asSpan, type CallContext, type Metrics, traceOf } from "#shared/telemetry";
import type { Sealer } from "../keys.ts";
import { type Lane, OUTBOX_CHANNEL } from "./outbox.ts";
import { makeOutboxStore, type OutboxStore, type Waiting } from "./store.ts";

export interface RelayOptions {
  readonly database: Pick<Database, "query" | "transaction" | "listen">;
  readonly sealer: Sealer;
  readonly publisher: Pick<Publisher, "state" | "publish">;
  /**
   * Gives a mail to the mail service; the id is its Idempotency-Key.
   * @returns a failure whose code says that trying again is in vain (`invalid`) is the end of it.
   */
  readonly sendMail: (mail: MailMessage, id: string, context: CallContext) => Promise<Result<void>>;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Default those of the contracts. */
  readonly exchanges?: { readonly identity: string; readonly logs: string };
  /** How often it is looked for what nobody woke us for (ms, default 1,000). */
  readonly pollMs?: number;
}

export interface Relay extends AsyncDisposable {
  /** There may be something to bring out. */
  ring(): void;
  /** What waits, as counted some seconds ago at most. */
  readonly waiting: number;
  /** Finishes what is in hand, and one batch more of what there is: within about 5 s. The rest waits in PostgreSQL. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Published together, all outstanding at once. */
const BATCH = 200;
/** For the confirms of a batch (ms), and a batch with all its statements. */
const CONFIRM_MS = 2_000;
const BATCH_MS = 5_000;
/** Mails under way at a time; each is ours for that long (ms). */
const MAILS = 4;
const MAIL_MS = 5_000;
const LEASE_MS = 30_000;
const STATEMENT_MS = 2_000;
const COUNT_EVERY_MS = 5_000;
const messageBackoff = exponential({ firstMs: 250, maxMs: 30_000 });
const mailBackoff = exponential({ firstMs: 1_000, maxMs: 10_000 });

const encoder = new TextEncoder();
const isVain = (failure: Failure): boolean => FAILURES[failure.code].queue === "dead";

export function startRelay(options: RelayOptions): Relay {
  const { database, sealer, publisher, sendMail, log, metrics, pollMs = 1_000 } = options;
  const { exchanges = { identity: IDENTITY_EXCHANGE, logs: LOGS_EXCHANGE } } = options;
  const store = makeOutboxStore(database, sealer, log);
  const out = metrics.counter("auth_outbox_total", "What came of what waited in the outbox.", ["lane", "result"]);
  const stopping = new AbortController();
  const bells: Bell[] = [];
  const ring = (): void => {
    for (const bell of bells) bell.ring();
  };
  /** Brings one out as a span of the request that put it there; a try that fails is one, too. */
  function bringOut(
    lane: Lane,
    { id, requestId, traceparent, attempts, waitedMs }: Omit<Waiting, "parcel">,
    ms: number,
    work: (context: CallContext) => Promise<Result<void>>,
  ): Promise<Result<void>> {
    const context = { requestId, trace: traceOf(traceparent), deadline: Deadline.after(ms) };
    const counted = lane === "mail" ? { "platform.attempt": attempts + 1 } : {};
    const attributes = { "messaging.message.id": id, "platform.waited_ms": Math.round(waitedMs), ...counted };
    return asSpan(context, `outbox ${lane}`, { attributes }, work);
  }

  /** Publishes them at once. @returns the ids of those that are out; `inOrder`: up to the first that is not. */
  async function publishAll<L extends "identity" | "audit">(
    lane: L,
    waiting: readonly Waiting<L>[],
    messageOf: (one: Waiting<L>) => OutgoingMessage,
    inOrder: boolean,
  ): Promise<string[]> {
    const results = await Promise.all(
      waiting.map((one) => bringOut(lane, one, CONFIRM_MS, (context) => publisher.publish(messageOf(one), context))),
    );
    const told: string[] = [];
    for (const [index, { id }] of waiting.entries()) {
      const result = results[index];
      if (result?.ok === true) {
        told.push(id);
        out.inc({ lane, result: "told" });
      } else if (result !== undefined && isVain(result.error)) {
        log.error("outbox: RabbitMQ can never take this: this is a bug", { lane, id, reason: result.error });
        told.push(id);
        out.inc({ lane, result: "refused" });
      } else if (inOrder) break;
    }
    if (told.length < waiting.length) {
      const reason = results.find((result) => !result.ok);
      log.warn("outbox: not taken, trying again", {
        lane,
        waiting: waiting.length - told.length,
        reason: reason?.error,
      });
    }
    return told;
  }

  const tellers = {
    identity: (waiting: readonly Waiting<"identity">[]) =>
      publishAll(
        "identity",
        waiting,
        ({ id, parcel: { key, body } }) => ({
          exchange: exchanges.identity,
          routingKey: key,
          messageId: id,
          body: encoder.encode(JSON.stringify(body)),
          // Whoever wants to know has bound a queue; nobody is no failure.
          mandatory: false,
        }),
        true,
      ),
    audit: (waiting: readonly Waiting<"audit">[]) =>
      publishAll(
        "audit",
        waiting,
        ({ id, parcel: { severity, data, at } }) => ({
          exchange: exchanges.logs,
          routingKey: routingKeyOf(severity),
          messageId: id,
          body: encoder.encode(JSON.stringify({ name: "audit", data })),
          timestamp: new Date(at),
        }),
        false,
      ),
  };

  /** Brings out what there is of a lane; of that, one batch where it is stopping. @returns false where it was in vain. */
  async function publishLane<L extends "identity" | "audit">(
    lane: L,
    tell: (waiting: readonly Waiting<L>[]) => Promise<string[]>,
  ): Promise<boolean> {
    while (publisher.state === "connected") {
      let isHanded = false;
      const telling = (waiting: readonly Waiting<L>[]): Promise<string[]> => {
        isHanded = true;
        return tell(waiting);
      };
      const done = await store.handOldest({ lane, limit: BATCH, tell: telling }, Deadline.after(BATCH_MS));
      // Told and not deleted, perhaps: a database that can be read and not written is no reason to repeat it at every look.
      if (!done.ok) return !isHanded;
      if (done.value === undefined) return true;
      const { handed, told } = done.value;
      if (told < handed) return false;
      if (handed < BATCH || stopping.signal.aborted) return true;
    }
    return true;
  }

  async function sendOne(waiting: Waiting<"mail">): Promise<void> {
    const { id, parcel, attempts } = waiting;
    const finish = async (result: "told" | "refused" | "expired"): Promise<void> => {
      const removed = await store.remove(id, Deadline.after(STATEMENT_MS));
      // Else it comes again under its key, and is the same mail.
      if (removed.ok) out.inc({ lane: "mail", result });
    };
    if (Date.parse(parcel.until) <= Date.now()) {
      log.warn("outbox: a mail waited too long and is not sent any more", { id });
      return finish("expired");
    }
    const sent = await bringOut("mail", waiting, MAIL_MS, (context) => sendMail(parcel.mail, id, context));
    if (sent.ok) return finish("told");
    if (isVain(sent.error)) {
      log.warn("outbox: the mail service does not take this mail", { id, reason: sent.error });
      return finish("refused");
    }
    log.warn("outbox: mail not sent, trying again", { id, attempt: attempts + 1, reason: sent.error });
    await store.putOff(id, mailBackoff(attempts), Deadline.after(STATEMENT_MS));
  }

  async function sendMails(): Promise<boolean> {
    for (;;) {
      const claimed = await store.claim("mail", MAILS, LEASE_MS, Deadline.after(BATCH_MS));
      if (!claimed.ok) return true;
      await Promise.all(claimed.value.map(sendOne));
      if (claimed.value.length < MAILS || stopping.signal.aborted) return true;
    }
  }

  /** @param gatherMs between a ring and the look: what comes within it goes as one batch. */
  async function work(look: () => Promise<boolean>, gatherMs: number): Promise<void> {
    const bell = makeBell();
    bells.push(bell);
    let failures = 0;
    for (;;) {
      // What came just before the end is brought out as well, unless the batch in hand was in vain.
      const isLast = stopping.signal.aborted;
      if (await look()) failures = 0;
      else {
        await pause(messageBackoff(failures), stopping.signal);
        failures += 1;
        if (isLast || stopping.signal.aborted) return;
        continue;
      }
      if (isLast) return;
      await bell.wait(pollMs);
      if (gatherMs > 0) await pause(gatherMs, stopping.signal);
    }
  }

  let inOutbox = 0;
  const working = Promise.all([
    work(() => publishLane("identity", tellers.identity), 0),
    work(() => publishLane("audit", tellers.audit), GATHER_MS),
    work(sendMails, 0),
    count(store, metrics, stopping.signal, (sum) => {
      inOutbox = sum;
    }),
  ]);
  database.listen(OUTBOX_CHANNEL, ring);
  return {
    ring,
    get waiting() {
      return inOutbox;
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      ring();
      await working;
    },
  };
}

/** Keeps the gauges. */
async function count(
  store: OutboxStore,
  metrics: Metrics,
  signal: AbortSignal,
  told: (waiting: number) => void,
): Promise<void> {
  const waiting = metrics.gauge("auth_outbox_waiting", "What waits in the outbox.", ["lane"]);
  const oldest = metrics.gauge("auth_outbox_oldest_seconds", "Age of the oldest of these, 0 without any.", ["lane"]);
  while (!signal.aborted) {
    const counted = await store.counts(Deadline.after(STATEMENT_MS));
    const lanes: Iterable<[Lane, { waiting: number; oldestS: number }]> = counted.ok ? counted.value : [];
    for (const [lane, { waiting: depth, oldestS }] of lanes) {
      waiting.set({ lane }, depth);
      oldest.set({ lane }, oldestS);
    }
    if (counted.ok) told([...counted.value.values()].reduce((sum, lane) => sum + lane.waiting, 0));
    await pause(COUNT_EVERY_MS, signal);
  }
}
