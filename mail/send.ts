/** Takes a mail: kept before it is answered, attempted at once, told as it is. Knows no HTTP, SMTP or SQL. */
import type { MailMessage, MailReply } from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";
import { asUuidV8, idempotencyKeyOf, isUuid, uuidText } from "#shared/ids";
import { type CallContext, traceparentOf } from "#shared/telemetry";
import { messageIdOf } from "./message/message.ts";
import type { Outbox } from "./outbox/outbox.ts";
import { type Standing, DECIDED, SUPPRESSED } from "./outbox/rows.ts";
import { type MailState, sumOf } from "./outbox/states.ts";
import type { Store } from "./outbox/store.ts";
import { contentHashOf, type Prepare, type Prepared } from "./request.ts";
import type { ServerWatch } from "./smtp/server-watch.ts";

export interface SendOptions {
  readonly prepare: Prepare;
  readonly outbox: Pick<Outbox, "accept" | "settled">;
  readonly store: Pick<Store, "find">;
  readonly watch: Pick<ServerWatch, "state">;
  /** Longest wait for the first attempt (ms). */
  readonly waitMs: number;
  /** Domain of Message-IDs. */
  readonly domain: string;
}

/** How a mail stands, and the same in words. */
export interface Sent {
  readonly words: string;
  readonly reply: MailReply;
}

/**
 * @param key the caller's Idempotency-Key. The same key and the same mail again is the same mail: it is sent once,
 *   and the answer tells how it stands.
 * @returns how the mail stands once its first attempts are over, or after the wait. Failures: those of `prepare`;
 *   `invalid` for a key that was used for another mail, and for a mail that was refused for good for every recipient
 *   (no `bad_gateway`: the server is well, and a caller must not try again or keep the mail for later); `exhausted`
 *   (the sender's quota), `unavailable` (nothing was accepted), `deadline`.
 */
export type Send = (message: MailMessage, key: string | undefined, context: CallContext) => Promise<Result<Sent>>;

/** For the outbox to take a mail (ms). */
const ACCEPT_MS = 2_500;
/** Kept back of the caller's time, for the answer (ms). */
const ANSWER_MS = 100;
/** Recipients that are named in words where all were refused. */
const NAMED = 3;

/**
 * The id of a mail under a key: the key itself where it is a UUID, else one made from it (version 8, RFC 9562 §5.8).
 * @returns failure `invalid` for a key that is not 1 to 255 printable ASCII characters; quotes around it are not part of it.
 */
export function idOfKey(key: string): Result<string> {
  const valid = idempotencyKeyOf(key);
  if (!valid.ok) return valid;
  const lower = valid.value.toLowerCase();
  return ok(isUuid(lower) ? lower : uuidOf(`mail ${valid.value}`));
}

function uuidOf(text: string): string {
  return uuidText(asUuidV8(new Bun.CryptoHasher("sha256").update(text).digest()));
}

/** The id of a recipient's row: of the first one the mail's own, the others are made from it. */
export function rowIdOf(mailId: string, ordinal: number): string {
  return ordinal === 0 ? mailId : uuidOf(`recipient ${ordinal} of mail ${mailId}`);
}

const isUnderWay = ({ state }: Standing): boolean => state === "queued" || state === "sending";
const isRefused = (state: MailState): boolean =>
  state === "failed" || state === "expired" || state === "cancelled" || state === "bounced";

/** Why a recipient does not get it. @param to how it is called. */
function reasonOf({ state, smtpText, smtpCommand }: Standing, to: string): string {
  switch (state) {
    case "expired":
      return "the mail was given up: it could not be delivered in time";
    case "cancelled":
      return "the mail was cancelled";
    case "bounced":
      return `the mail came back from ${to}${smtpText === undefined ? "" : `: ${smtpText}`}`;
    default: {
      if (smtpCommand === SUPPRESSED)
        return `${to} is on the suppression list: ${(smtpText ?? "").replace(/^suppressed: /, "")}`;
      if (smtpCommand === DECIDED) return "the mail was given up: it was decided by hand that it did not arrive";
      const field = smtpCommand === "RCPT TO" ? to : smtpCommand === "MAIL FROM" ? "from" : "the mail";
      return `${field} was refused by the mail server: ${smtpText ?? "no reason given"}`;
    }
  }
}

const counted = (count: number): string => `${count} recipient${count === 1 ? "" : "s"}`;

/** @param rows of every recipient, at least one. */
function sentOf(id: string, rows: readonly Standing[]): Result<Sent> {
  const [first] = rows;
  if (first === undefined) throw new Error("a mail without recipients");
  const sum = sumOf(rows.map((row) => row.state));
  const state = sum === "sending" || sum === "deferred" ? "queued" : sum;
  const isSingle = rows.length === 1;
  if (state !== "partial" && isRefused(state)) {
    if (isSingle) return fail("invalid", reasonOf(first, "to"));
    const reasons = rows.slice(0, NAMED).map((row) => reasonOf(row, row.recipient));
    const more = rows.length > NAMED ? `; and ${rows.length - NAMED} more` : "";
    return fail("invalid", `no recipient gets the mail: ${reasons.join("; ")}${more}`);
  }
  const count = (holds: (row: Standing) => boolean): number => rows.filter(holds).length;
  const open = count((row) => row.state !== "sent" && !isRefused(row.state));
  const delivered = count((row) => row.state === "sent");
  const recipients = rows.map((row) => ({
    address: row.recipient,
    state: row.state,
    ...(isRefused(row.state) ? { reason: reasonOf(row, "the recipient") } : {}),
  }));
  const reply = { id, state, ...(isSingle ? {} : { recipients }) } as MailReply;
  const whom = (number: number): string => (isSingle ? first.recipient : counted(number));
  if (state === "sent") return ok({ words: `email sent to ${whom(rows.length)}`, reply });
  if (state === "partial") return ok({ words: `email sent to ${delivered} of ${counted(rows.length)}`, reply });
  return ok({ words: `email queued for ${whom(open)}`, reply });
}

export function makeSend({ prepare, outbox, store, watch, waitMs, domain }: SendOptions): Send {
  /** What was accepted under a key stays accepted, also where it would not be any more: a template may be gone. */
  async function acceptedBefore(
    id: string,
    contentHash: Uint8Array,
    context: CallContext,
  ): Promise<Result<Sent> | undefined> {
    const found = await store.find(id, context.deadline);
    if (!found.ok || found.value === undefined) return undefined;
    return Buffer.compare(found.value.contentHash, contentHash) === 0 ? sentOf(id, found.value.standings) : undefined;
  }

  async function accept(id: string, contentHash: Uint8Array, prepared: Prepared, context: CallContext) {
    const { deadline, requestId, trace } = context;
    const recipients = prepared.recipients.map((recipient, ordinal) => ({ ...recipient, id: rowIdOf(id, ordinal) }));
    const done = new AbortController();
    const patience = deadline.within(Math.min(waitMs, deadline.remainingMs() - ANSWER_MS));
    const signal = AbortSignal.any([patience.signal, done.signal]);
    // Asked before the mail is accepted: an attempt may be over before the answer to that is here.
    const settled = new Map(recipients.map((recipient) => [recipient.id, outbox.settled(recipient.id, signal)]));
    try {
      const stored = await outbox.accept(
        {
          ...prepared,
          id,
          contentHash,
          messageId: messageIdOf(id, domain),
          requestId,
          traceparent: traceparentOf(trace),
          recipients,
        },
        deadline.within(ACCEPT_MS),
      );
      if (!stored.ok) return stored;
      const { standings } = stored.value;
      if (Buffer.compare(stored.value.contentHash, contentHash) !== 0) {
        return fail("invalid", "Idempotency-Key was used before for another mail");
      }
      const open = standings.filter(isUnderWay);
      const nobodyTries = watch.state === "away" && open.every(({ state }) => state === "queued");
      if (nobodyTries || prepared.sendAt !== undefined) return sentOf(id, standings);
      const news = await Promise.all(open.map(async (row) => settled.get(row.id)));
      const known = new Map(news.flatMap((row) => (row === undefined ? [] : [[row.id, row] as const])));
      if (news.every((row) => row !== undefined))
        return sentOf(
          id,
          standings.map((row) => known.get(row.id) ?? row),
        );
      // Another replica may have sent it meanwhile. If that cannot be told, it is true that it was accepted.
      const found = await store.find(id, deadline);
      const last = (found.ok ? found.value?.standings : undefined) ?? standings;
      return sentOf(
        id,
        last.map((row) => known.get(row.id) ?? row),
      );
    } finally {
      done.abort();
    }
  }

  return async (message, key, context) => {
    const keyed = key === undefined ? ok(Bun.randomUUIDv7()) : idOfKey(key);
    if (!keyed.ok) return keyed;
    const id = keyed.value;
    const contentHash = contentHashOf(message);
    const prepared = await prepare(message);
    if (prepared.ok) return accept(id, contentHash, prepared.value, context);
    const before = key === undefined ? undefined : await acceptedBefore(id, contentHash, context);
    return before ?? prepared;
  };
}
