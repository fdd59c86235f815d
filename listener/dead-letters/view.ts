/** What a parked message says of itself, whether somebody means it, and where it goes when it is sent again. */
import type { DeadLetter, DeadLetterChoice, Parked } from "#contracts/dead-letters";
import {
  HEADER_ATTEMPT,
  HEADER_CREATED_AT,
  HEADER_ERROR,
  HEADER_FAILED_AT,
  HEADER_REPLAYED_BY,
  HEADER_ROUTING_KEY,
} from "#contracts/events";
import type { Destination, ParkedMessage, Topology } from "#shared/amqp";

/** Characters of a body, and of an error, that are shown. */
const PREVIEW = 2_000;
const ERROR = 1_000;
/** Headers that are shown, and characters of each. */
const HEADERS = 100;
const HEADER = 1_000;
/** What speaks of the past of a message that begins anew, and what would send it elsewhere, too (sender-selected distribution). */
const NOT_REPLAYED =
  /^(x-(attempt|error|failed-at|replayed-by|death|first-death-.*|last-death-.*|delivery-count|acquired-count)|CC|BCC)$/;
/** As `EventId` of the contracts: whoever reads the message would give it another id at each try. */
const SANE_ID = /^[^\0]{1,128}$/;

/** Why RabbitMQ itself has moved it. */
const DEATHS: Readonly<Record<string, string>> = {
  delivery_limit: "taken and not dealt with too often: its handling ends in a crash or a lost connection",
  rejected: "rejected by a consumer",
  expired: "waited too long",
  maxlen: "the queue was full",
};

interface Death {
  readonly reason?: unknown;
  readonly count?: unknown;
  readonly time?: { readonly value?: unknown };
}

/** The parked queues by their names in the contract. */
export function parkedQueues({ logs, jobs, unrouted }: Topology): ReadonlyMap<Parked, string> {
  return new Map([
    ["logs", logs.deadLetterQueue],
    ["jobs", jobs.deadLetterQueue],
    ["unrouted", unrouted.queue],
  ]);
}

/** @param preview characters of the body that are shown (default 2,000). */
export function letterOf(
  message: ParkedMessage,
  parked: Parked,
  topology: Topology,
  preview: number = PREVIEW,
): DeadLetter {
  const { headers, body, contentType } = message;
  const attempts = headers[HEADER_ATTEMPT];
  const replayedBy = headers[HEADER_REPLAYED_BY];
  const at = parkedAt(message);
  return {
    id: message.messageId ?? "",
    parked,
    routing_key: routingKeyOf(message, topology),
    error: errorOf(message, parked).slice(0, ERROR),
    ...(at === undefined ? {} : { at: at.toISOString() }),
    attempts: typeof attempts === "number" && Number.isSafeInteger(attempts) ? attempts : 0,
    bytes: body.byteLength,
    ...(contentType === undefined ? {} : { content_type: contentType }),
    preview: textOf(body, preview),
    ...(typeof replayedBy === "string" ? { replayed_by: replayedBy } : {}),
  };
}

/** Headers as they are shown. */
export function headersOf({ headers }: ParkedMessage): Record<string, string> {
  const shown = Object.entries(headers)
    .slice(0, HEADERS)
    .map(([name, value]) => [
      name,
      (typeof value === "string" ? value : jsonOf(value)).slice(0, HEADER).toWellFormed(),
    ]);
  return Object.fromEntries(shown) as Record<string, string>;
}

/** Numbers of 64 bits have no place in JSON. */
function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_key, one: unknown) => (typeof one === "bigint" ? String(one) : one)) ?? "";
}

/** The beginning of a body as text; what is none is shown as U+FFFD. */
export function textOf(body: Uint8Array, characters: number): string {
  return new TextDecoder()
    .decode(body.subarray(0, characters * 4))
    .slice(0, characters)
    .toWellFormed();
}

/** The key that it came under first: RabbitMQ keeps the one of its last way, which may have been a delay queue. */
function routingKeyOf({ routingKey, headers }: ParkedMessage, { logs, jobs }: Topology): string {
  const original = headers[HEADER_ROUTING_KEY];
  if (typeof original !== "string") return routingKey;
  const cameBack = [logs.queue, ...jobs.queues.values()].some((queue) => routingKey.endsWith(`.${queue}`));
  return cameBack ? original : routingKey;
}

function deathOf({ headers }: ParkedMessage): Death | undefined {
  const deaths: unknown = headers["x-death"];
  const [last] = Array.isArray(deaths) ? (deaths as unknown[]) : [];
  return typeof last === "object" && last !== null ? last : undefined;
}

function errorOf(message: ParkedMessage, parked: Parked): string {
  const error = message.headers[HEADER_ERROR];
  if (typeof error === "string" && parked !== "unrouted") return error;
  if (parked === "unrouted") return "no queue wanted it";
  const reason = deathOf(message)?.reason;
  if (typeof reason !== "string") return "not known";
  return Object.hasOwn(DEATHS, reason) ? (DEATHS[reason] ?? "") : reason;
}

/** Since when it is here; where nobody said so, when it was accepted. */
function parkedAt(message: ParkedMessage): Date | undefined {
  const died = deathOf(message)?.time?.value;
  const times = [
    message.headers[HEADER_FAILED_AT],
    typeof died === "number" ? died * 1_000 : undefined,
    message.headers[HEADER_CREATED_AT],
    message.timestamp,
  ];
  for (const time of times) {
    if (typeof time !== "string" && typeof time !== "number" && !(time instanceof Date)) continue;
    const date = new Date(time);
    if (!Number.isNaN(date.getTime())) return date;
  }
  return undefined;
}

/** Whether it restricts anything but the queue. */
export function isEverything({ id, ids, routing_key, error, older_than_s, younger_than_s }: DeadLetterChoice): boolean {
  return [id, ids, routing_key, error, older_than_s, younger_than_s].every((condition) => condition === undefined);
}

/**
 * Whether a filter means a message; all conditions hold. A message of no known age meets no condition on it.
 * @param now to which ages are reckoned.
 */
export function matcherOf(filter: DeadLetterChoice, topology: Topology, now: Date) {
  const picked = filter.ids === undefined ? undefined : new Set(filter.ids);
  const { id, routing_key, older_than_s, younger_than_s } = filter;
  const error = filter.error?.toLowerCase();
  const isMeant = routing_key === undefined ? undefined : topicMatcher(routing_key);
  return (message: ParkedMessage, parked: Parked): boolean => {
    if (id !== undefined && message.messageId !== id) return false;
    if (picked?.has(message.messageId ?? "") === false) return false;
    if (isMeant !== undefined && !isMeant(routingKeyOf(message, topology))) return false;
    if (error !== undefined && !errorOf(message, parked).toLowerCase().includes(error)) return false;
    if (older_than_s === undefined && younger_than_s === undefined) return true;
    const at = parkedAt(message);
    if (at === undefined) return false;
    const ageS = (now.getTime() - at.getTime()) / 1_000;
    return ageS >= (older_than_s ?? Number.NEGATIVE_INFINITY) && ageS <= (younger_than_s ?? Number.POSITIVE_INFINITY);
  };
}

/** Matches keys as a topic exchange does: words between dots, `*` is one, `#` any number of them. */
export function topicMatcher(pattern: string): (key: string) => boolean {
  const parts = pattern.split(".");
  return (key) => {
    const words = key.split(".");
    // Whether the parts so far match the first n words; one row a part, so that no pattern takes long.
    let row = Array.from({ length: words.length + 1 }, (_, count) => count === 0);
    for (const part of parts) {
      const next = Array.from({ length: words.length + 1 }, () => false);
      for (let count = 0; count <= words.length; count += 1) {
        const before = count > 0 && (part === "#" ? next[count - 1] : row[count - 1]);
        if (part === "#") next[count] = row[count] === true || before === true;
        else next[count] = before === true && (part === "*" || part === words[count - 1]);
      }
      row = next;
    }
    return row[words.length] === true;
  };
}

/**
 * Where a message is sent to again: a job to the queue of its kind, everything else to the queue of events, whatever its
 * key, so that nothing comes to where it is parked now by the way that it took first.
 * @param by who asked for it.
 */
export function destinationOf(message: ParkedMessage, parked: Parked, topology: Topology, by: string): Destination {
  const { retry, logs, jobs } = topology;
  const key = routingKeyOf(message, topology);
  const { messageId } = message;
  const sane = messageId !== undefined && SANE_ID.test(messageId) && messageId.isWellFormed();
  const kept = Object.entries(message.headers).filter(([name]) => !NOT_REPLAYED.test(name));
  const ours = { [HEADER_ROUTING_KEY]: key, [HEADER_REPLAYED_BY]: by };
  return {
    ...(parked === "jobs"
      ? { exchange: jobs.exchange, routingKey: key }
      : { exchange: retry.back, routingKey: `replay.${logs.queue}` }),
    messageId: sane ? messageId : Bun.randomUUIDv7(),
    headers: { ...Object.fromEntries(kept), ...ours },
    fewHeaders: ours,
  };
}

/** Tells messages apart that are alike: those without an id, and several under one. */
export function fingerprintOf({ messageId, routingKey, timestamp, body }: ParkedMessage): string {
  return Bun.hash(`${messageId ?? ""}\0${routingKey}\0${timestamp?.getTime() ?? ""}\0${Bun.hash(body)}`).toString(36);
}
