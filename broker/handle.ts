/**
 * What the platform does for each action, and what it does instead when a part is away. Knows no HTTP, RPC or AMQP.
 *
 *     log    logger → RabbitMQ (the listener stores it) → spool on disk → 503
 *     mail   mail service (its outbox) → RabbitMQ (the listener hands it over) → 503
 *     auth   auth service → 503: a gateway keeps no password verifiers
 */
import type { Credentials } from "#contracts/auth";
import { AuthAction, type BatchItem, BATCH_MAX, type Degraded, LogAction, MailAction } from "#contracts/broker";
import {
  LOG_BATCH_MAX,
  LOG_SUCCEEDED,
  type LogEntry,
  type LogOnceResult,
  LogRequest,
  type Producer,
} from "#contracts/logs";
import type { MailMessage, MailReply } from "#contracts/mail";
import type { ReceiptKind } from "#contracts/receipts";
import { FAILURES, Failure, fail, ok, type Result } from "#shared/errors";
import type { OtlpEntry } from "#shared/otlp";
import { type CallContext, inSpan, type Trace } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { ActionName } from "./access/rules.ts";
import { type Answered, type FirstAnswers, KEY_REUSED } from "./idempotency.ts";
import type { Ids, KeyScope } from "./ids.ts";
import { worstOf } from "./marks.ts";
import type { Numbers } from "./producer.ts";

/** An entry on its way: with its identity, number and time, so that storing it twice stores it once. */
export type AcceptedEntry = LogEntry & Required<Pick<LogEntry, "severity" | "event_id" | "created_at" | "producer">>;

/** An event of the platform's own on its way. */
export interface AcceptedEvent {
  readonly id: string;
  readonly created_at: string;
  readonly producer: Producer;
  readonly name: string;
  readonly data: unknown;
}

/** What the logger made of an entry. */
export interface Stored {
  readonly outcome: LogOnceResult;
  /** How often it was handed over: a duplicate of the second time may be our own of the first. */
  readonly tries: number;
}

/** What the operations need from outside. Failures keep the code of what is behind. */
export interface Ports {
  /** The user and his tokens. */
  authenticate(credentials: Credentials, context: CallContext): Promise<Result<object>>;
  /** Stored and acknowledged by the logger. @param isKeyed its id is made from a key: another entry may have it. */
  storeEntry(entry: AcceptedEntry, isKeyed: boolean, context: CallContext): Promise<Result<Stored>>;
  /** On disk in a queue, for the listener to store. */
  queueEntry(entry: AcceptedEntry, context: CallContext): Promise<Result<void>>;
  /** On this machine's disk, for this broker to forward. */
  spoolEntry(entry: AcceptedEntry, context: CallContext): Promise<Result<void>>;
  /** Taken by the mail service. The same id again is the same mail. */
  sendMail(mail: MailMessage, id: string, context: CallContext): Promise<Result<MailReply>>;
  /** On disk in a queue, for the listener to hand to the mail service. */
  queueMail(mail: MailMessage, id: string, context: CallContext): Promise<Result<void>>;
  /** An event of the platform's own, on disk in a queue or in the spool. */
  announce(event: AcceptedEvent, context: CallContext): Promise<Result<void>>;
  readonly ids: Pick<Ids, "mint" | "derive">;
  readonly numbers: Numbers;
  readonly answers: FirstAnswers;
  now(): Date;
  /** Told what came of each action that was done; not of those that were answered from memory, or were none. */
  onDone(action: ActionDone, outcome: ActionOutcome): void;
}

/** `event`: `POST /`, which has no name of its own. */
export type ActionDone = ActionName | "event";
/** `queued`, `spooled`: accepted in another way than usual. `refused`: for what was asked; `failed`: for what is behind. */
export type ActionOutcome = "done" | "queued" | "spooled" | "refused" | "failed";

/** Who asks for something, what of it he may, and under which Idempotency-Key, where there is one. */
export interface Call {
  readonly context: CallContext;
  /** Failure `unauthenticated`, `forbidden` for what he may not do. */
  readonly may: (action: ActionName) => Result<void>;
  readonly scope?: KeyScope | undefined;
}

/** What an accepted action is answered with. */
export interface Accepted {
  message: string;
  data?: Record<string, unknown>;
  degraded?: Degraded;
  /** Id of the entry, event or mail. Only a login whose event could be kept nowhere has none. */
  receiptId?: string;
  /** It is stored under its key since an earlier request, which another broker took or this one before a restart. */
  stoodBefore?: boolean;
}

export interface BatchOutcome {
  items: BatchItem[];
  degraded: Degraded;
}

export interface Operations {
  /** `POST /`: told to everybody who listens. */
  hit(call: Call): Promise<Answered<Accepted>>;
  /** `POST /v1/mails`: `data` is what the mail service says of it. */
  send(mail: MailMessage, call: Call): Promise<Answered<Accepted>>;
  /** `POST /v1/logs`: one entry. */
  log(body: unknown, call: Call): Promise<Answered<Accepted>>;
  /** `POST /v1/logs`: several entries, as a batch of actions. */
  logBatch(bodies: readonly unknown[], call: Call): Promise<Answered<BatchOutcome>>;
  /**
   * `POST /otlp/v1/logs`: what became of each record, in order. Its id is made from what it says: sent again by the same
   * caller it is the same entry.
   */
  record(records: readonly Result<OtlpEntry>[], caller: string, context: CallContext): Promise<Result<Accepted>[]>;
  /** One action of `POST /handle`. */
  handle(body: unknown, call: Call): Promise<Answered<Accepted>>;
  /** Several, side by side: each has its own outcome. Failure only for the batch as such. */
  handleBatch(bodies: readonly unknown[], call: Call): Promise<Answered<BatchOutcome>>;
}

/** One action of a request: what its ids are made from. */
interface Action {
  readonly context: CallContext;
  readonly may: Call["may"];
  readonly isKeyed: boolean;
  readonly newId: (kind: ReceiptKind) => string;
}

const authOf = makeValidator(AuthAction);
const logOf = makeValidator(LogAction);
const mailOf = makeValidator(MailAction);
const entryOf = makeValidator(LogRequest, { name: "entry", unknown: "refuse" });

/** Entries of one request that are on their way at a time: the others wait, rather than fill the way of everybody. */
const ENTRIES_AT_ONCE = 100;

/** `work` for each, `ENTRIES_AT_ONCE` at a time. @returns what came of each, in order. */
async function eachOf<T, U>(items: readonly T[], work: (item: T, index: number) => Promise<U>): Promise<U[]> {
  const results: U[] = [];
  const rest = items.entries();
  const lane = async (): Promise<void> => {
    for (const [index, item] of rest) results[index] = await work(item, index);
  };
  await Promise.all(Array.from({ length: Math.min(ENTRIES_AT_ONCE, items.length) }, lane));
  return results;
}

/** Whether a failure says that a part behind is sick, and not that the request is wrong. */
export function isAway(failure: Failure): boolean {
  return FAILURES[failure.code].queue === "hold";
}

/** A failure of a part behind, under the message that clients know; the code, and so the status, stays. */
function renamed(failure: Failure, message: string): Result<never> {
  return fail(failure.code, message, { cause: failure, retryAfterS: failure.retryAfterS ?? 1 });
}

/**
 * A batch of which a part said "not now" or "not you", or belongs to another request of the key, is done again when it is
 * sent again.
 */
function isFinal({ status, message }: BatchItem): boolean {
  return ![403, 409, 429].includes(status) && status < 500 && !message.startsWith(KEY_REUSED);
}

function outcomeOf(result: Result<Accepted>): ActionOutcome {
  if (!result.ok) return isAway(result.error) || result.error.code === "internal" ? "failed" : "refused";
  const ways = Object.values(result.value.degraded ?? {});
  return ways.includes("spooled") ? "spooled" : ways.includes("queued") ? "queued" : "done";
}

export function makeOperations(ports: Ports): Operations {
  const { ids, numbers, answers } = ports;

  async function counted(action: ActionDone, work: Promise<Result<Accepted>>): Promise<Result<Accepted>> {
    const result = await work;
    ports.onDone(action, outcomeOf(result));
    return result;
  }

  /** An event of our own; its id where it is kept. */
  async function announce(name: string, data: unknown, { newId, context }: Action): Promise<Result<string>> {
    const producer = numbers.take();
    const event = { id: newId("event"), created_at: ports.now().toISOString(), producer, name, data };
    const kept = await ports.announce(event, context);
    if (kept.ok) return ok(event.id);
    numbers.giveBack(producer);
    return kept;
  }

  async function hit(action: Action): Promise<Result<Accepted>> {
    const told = await announce("broker_hit", "Hit the Broker", action);
    return told.ok ? ok({ message: "Hit the Broker", receiptId: told.value }) : told;
  }

  async function auth(credentials: Credentials, action: Action): Promise<Result<Accepted>> {
    const user = await ports.authenticate(credentials, action.context);
    if (!user.ok) {
      if (user.error.code === "unauthenticated") return fail("unauthenticated", "Invalid credentials!!!");
      return isAway(user.error) && user.error.code !== "exhausted"
        ? renamed(user.error, "Error calling the Auth Service!!!")
        : user;
    }
    // The login has happened whether or not it can be told: what is lost here is counted where it is published.
    const told = await announce("authentication", `${credentials.email} logged in`, action);
    return ok({
      message: "Authenticated!",
      data: { ...user.value },
      ...(told.ok ? { receiptId: told.value } : {}),
    });
  }

  async function log(
    request: LogRequest & { readonly created_at?: string },
    { newId, isKeyed, context }: Pick<Action, "newId" | "isKeyed" | "context">,
  ): Promise<Result<Accepted>> {
    const entry: AcceptedEntry = {
      name: request.name,
      data: request.data,
      severity: request.severity ?? "INFO",
      event_id: newId("log"),
      created_at: request.created_at ?? ports.now().toISOString(),
      producer: numbers.take(),
    };
    const receiptId = entry.event_id;
    const stored = await ports.storeEntry(entry, isKeyed, context);
    if (stored.ok) {
      const { outcome, tries } = stored.value;
      if (outcome !== "stored") numbers.giveBack(entry.producer);
      if (outcome === "conflict") return fail("invalid", `${KEY_REUSED} entry`);
      const stoodBefore = outcome === "duplicate" && tries === 1;
      return ok({
        message: `Logged via RPC: ${LOG_SUCCEEDED}`,
        receiptId,
        ...(stoodBefore ? { stoodBefore } : {}),
      });
    }
    const kept = isAway(stored.error) ? await keep(entry, context) : stored;
    if (kept.ok) return ok({ message: "Log entry queued", receiptId, degraded: { logger: kept.value } });
    numbers.giveBack(entry.producer);
    return kept === stored ? kept : renamed(kept.error, "Error calling the Logger Service!!!");
  }

  /** On disk, for the logger to have it later. */
  async function keep(entry: AcceptedEntry, context: CallContext): Promise<Result<"queued" | "spooled">> {
    const queued = await ports.queueEntry(entry, context);
    if (queued.ok) return ok("queued");
    const spooled = await ports.spoolEntry(entry, context);
    return spooled.ok ? ok("spooled") : spooled;
  }

  async function mail(letter: MailMessage, { newId, context }: Action): Promise<Result<Accepted>> {
    const id = newId("mail");
    const taken = await ports.sendMail(letter, id, context);
    if (!taken.ok) {
      if (!isAway(taken.error) || taken.error.code === "exhausted") return taken;
      const queued = await ports.queueMail(letter, id, context);
      if (!queued.ok) return renamed(taken.error, "Error calling mail service");
    }
    const reply: MailReply = taken.ok ? { ...taken.value, id } : { id, state: "queued" };
    // Where it shall wait, waiting is no other way than usual.
    const isThere = reply.state === "sent" || reply.state === "partial";
    const isToWait = taken.ok && letter.send_at !== undefined && Date.parse(letter.send_at) > ports.now().getTime();
    return ok({
      message: saidOf(letter, reply),
      data: reply,
      receiptId: id,
      ...(isThere || isToWait ? {} : { degraded: { mail: "queued" } }),
    });
  }

  async function handle(body: unknown, action: Action): Promise<Result<Accepted>> {
    const name = actionNameOf(body);
    const allowed = name === undefined ? ok() : action.may(name);
    if (!allowed.ok) return allowed;
    switch (name) {
      case "auth": {
        const valid = authOf(body);
        return valid.ok ? counted("auth", auth(valid.value.auth, action)) : valid;
      }
      case "log": {
        const valid = logOf(body);
        return valid.ok ? counted("log", log(valid.value.log, action)) : valid;
      }
      case "mail": {
        const valid = mailOf(body);
        if (!valid.ok) return valid;
        const { from, to, subject, message } = valid.value.mail;
        const sent = await counted("mail", mail({ from, to, subject, message }, action));
        // This action tells of a mail no more than it ever did.
        return sent.ok ? ok({ ...sent.value, data: { id: sent.value.receiptId } }) : sent;
      }
      default:
        return fail("malformed", "Unknown action!!!");
    }
  }

  async function logOne(body: unknown, action: Action): Promise<Result<Accepted>> {
    const valid = entryOf(body);
    return valid.ok ? counted("log", log(valid.value, action)) : valid;
  }

  async function all(
    bodies: readonly unknown[],
    call: Call,
    one: (body: unknown, action: Action) => Promise<Result<Accepted>>,
  ): Promise<Result<BatchOutcome>> {
    const outcomes = await eachOf(bodies, (body, index) =>
      inSpan(call.context, "action", {}, (context, span) => {
        const named = one === logOne ? "log" : (actionNameOf(body) ?? "unknown");
        span.set({ "action.name": named, "action.index": index });
        return one(body, actionOf({ ...call, context }, index));
      }),
    );
    const items = outcomes.map(
      (outcome): BatchItem =>
        outcome.ok
          ? { status: 202, error: false, ...replyOf(outcome.value) }
          : { status: outcome.error.status, error: true, message: outcome.error.message },
    );
    const degraded = worstOf(outcomes.map((outcome) => (outcome.ok ? outcome.value.degraded : undefined)));
    return ok({ items, degraded });
  }

  function actionOf({ context, may, scope }: Call, index = 0): Action {
    return {
      context,
      may,
      isKeyed: scope !== undefined,
      newId: scope === undefined ? (kind) => ids.mint(kind) : (kind) => ids.derive(kind, scope, index),
    };
  }

  /** Once for its key, where it has one. */
  async function once<T>(
    { scope }: Call,
    body: unknown,
    work: () => Promise<Result<T>>,
    keeps?: (value: T) => boolean,
  ): Promise<Answered<T>> {
    if (scope === undefined) return { result: await work(), replayed: false };
    return answers.run(scope, body, work, keeps);
  }

  /** Several, once for their key. @param what they are called in refusals. @param max how many at most. */
  async function batch(
    bodies: readonly unknown[],
    call: Call,
    one: (body: unknown, action: Action) => Promise<Result<Accepted>>,
    { what, max }: { what: [one: string, more: string]; max: number },
  ): Promise<Answered<BatchOutcome>> {
    const refused = (why: string) => ({ result: fail("invalid", why), replayed: false });
    if (bodies.length === 0) return refused(`a batch needs at least one ${what[0]}`);
    if (bodies.length > max) return refused(`a batch has at most ${max} ${what[1]}`);
    return once(
      call,
      bodies,
      () => all(bodies, call, one),
      ({ items }) => items.every(isFinal),
    );
  }

  /** One, once for its key, also where it is stored under it since an earlier request. */
  async function single(
    body: unknown,
    call: Call,
    one: (body: unknown, action: Action) => Promise<Result<Accepted>>,
  ): Promise<Answered<Accepted>> {
    const { result, replayed } = await once(call, body, () => one(body, actionOf(call)));
    return { result, replayed: replayed || (result.ok && result.value.stoodBefore === true) };
  }

  return {
    send: (letter, call) => once(call, letter, () => counted("mail", mail(letter, actionOf(call)))),

    handle: (body, call) => single(body, call, handle),
    log: (body, call) => single(body, call, logOne),

    // A body is ignored, also in telling requests apart.
    hit: (call) => once(call, null, () => counted("event", hit(actionOf(call)))),

    handleBatch: (bodies, call) => batch(bodies, call, handle, { what: ["action", "actions"], max: BATCH_MAX }),
    logBatch: (bodies, call) => batch(bodies, call, logOne, { what: ["entry", "entries"], max: LOG_BATCH_MAX }),

    record: (records, caller, context) =>
      eachOf(records, async (record) => {
        if (!record.ok) return record;
        const { name, data, severity, createdAt, key, copy, traceId, spanId } = record.value;
        const trace = traceId === undefined ? context.trace : foreignTrace(traceId, spanId ?? context.trace.spanId);
        const request = { name, data, severity, ...(createdAt === undefined ? {} : { created_at: createdAt }) };
        const action = {
          context: { ...context, trace },
          isKeyed: true,
          newId: (kind: ReceiptKind) => ids.derive(kind, { caller, route: OTLP_SCOPE, key }, copy),
        };
        const logged = await counted("log", log(request, action));
        const isTaken = !logged.ok && logged.error.message.startsWith(KEY_REUSED);
        return isTaken ? fail("invalid", "another record has its log.record.uid") : logged;
      }),
  };
}

/** The action that a body asks for, where there is such a one. */
function actionNameOf(body: unknown): ActionName | undefined {
  const name =
    typeof body === "object" && body !== null && Object.hasOwn(body, "action")
      ? (body as { action: unknown }).action
      : undefined;
  return name === "auth" || name === "log" || name === "mail" ? name : undefined;
}

/** Of ids that are made from records, in place of a route. */
const OTLP_SCOPE = "/otlp/v1/logs";

/** The trace that a record belongs to: somebody else's, which our own spans are no part of. */
function foreignTrace(traceId: string, spanId: string): Trace {
  return { traceId, spanId, sampled: false };
}

/** How a mail stands, in words. */
function saidOf({ to, cc = [], bcc = [] }: MailMessage, { state, recipients }: MailReply): string {
  const all = [to, cc, bcc].flat();
  const [first = ""] = all;
  const whom = all.length === 1 ? first : `${recipients?.length ?? all.length} recipients`;
  if (state !== "partial") return state === "sent" ? `Message sent to ${whom}` : `Message queued for ${whom}`;
  const sent = recipients?.filter((recipient) => recipient.state === "sent").length;
  return `Message sent to ${sent ?? "some"} of ${whom}`;
}

/** Message and data of an accepted action, with its receipt and what was degraded among the data. */
export function replyOf({ message, data, degraded, receiptId }: Accepted): {
  message: string;
  data?: Record<string, unknown>;
} {
  if (data === undefined && degraded === undefined && receiptId === undefined) return { message };
  return {
    message,
    data: {
      ...data,
      ...(receiptId === undefined ? {} : { receipt_id: receiptId }),
      ...(degraded === undefined ? {} : { degraded }),
    },
  };
}
