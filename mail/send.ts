/** Takes a mail: kept before it is answered, attempted at once, told as it is. Knows no HTTP, SMTP or SQL. */
import type { MailReply, MailRequest } from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";
import { asUuidV8, idempotencyKeyOf, isUuid, uuidText } from "#shared/ids";
import type { Deadline } from "#shared/resilience";
import { type CallContext, traceparentOf } from "#shared/telemetry";
import { messageIdOf } from "./message/message.ts";
import type { Outbox } from "./outbox/outbox.ts";
import type { ServerWatch } from "./smtp/server-watch.ts";
import type { Standing, Store } from "./outbox/store.ts";

export interface SendOptions {
  readonly outbox: Pick<Outbox, "accept" | "settled">;
  readonly store: Pick<Store, "find">;
  readonly watch: Pick<ServerWatch, "state">;
  /** Longest wait for the first attempt (ms). */
  readonly waitMs: number;
  /** Domain of Message-IDs. */
  readonly domain: string;
}

/**
 * @param key the caller's Idempotency-Key. The same key and the same mail again is the same mail: it is sent once,
 *   and the answer tells how it stands.
 * @returns how the mail stands once its first attempt is over, or after the wait. Failures: `invalid` for a key that was used for
 *   another mail, and for a mail that the server refused for good (no `bad_gateway`: the server is well, and a
 *   caller must not try again or keep the mail for later); `unavailable` (nothing was accepted), `deadline`.
 */
export type Send = (request: MailRequest, key: string | undefined, context: CallContext) => Promise<Result<MailReply>>;

/** For the outbox to take a mail (ms). */
const ACCEPT_MS = 2_500;
/** Between two looks at a mail that another replica has in hand (ms). */
const LOOK_MS = 100;
/** Kept back of the caller's time, for the answer (ms). */
const ANSWER_MS = 100;

/**
 * The id of a mail under a key: the key itself where it is a UUID, else one made from it (version 8, RFC 9562 §5.8).
 * @returns failure `invalid` for a key that is not 1 to 255 printable ASCII characters; quotes around it are not part of it.
 */
export function idOfKey(key: string): Result<string> {
  const valid = idempotencyKeyOf(key);
  if (!valid.ok) return valid;
  const lower = valid.value.toLowerCase();
  if (isUuid(lower)) return ok(lower);
  return ok(uuidText(asUuidV8(new Bun.CryptoHasher("sha256").update(`mail ${valid.value}`).digest())));
}

/** Tells two mails under one key apart. */
function contentHashOf({ from, to, subject, message }: MailRequest): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify([from, to, subject, message])).digest();
}

function replyOf({ id, state, smtpText, smtpCommand }: Standing): Result<MailReply> {
  switch (state) {
    case "sent":
      return ok({ id, state: "sent" });
    case "ambiguous":
      return ok({ id, state: "ambiguous" });
    case "failed": {
      const field = smtpCommand === "RCPT TO" ? "to" : smtpCommand === "MAIL FROM" ? "from" : "the mail";
      return fail("invalid", `${field} was refused by the mail server: ${smtpText ?? "no reason given"}`);
    }
    case "expired":
      return fail("invalid", "the mail was given up: it could not be delivered in time");
    case "queued":
    case "sending":
    case "deferred":
      break;
  }
  return ok({ id, state: "queued" });
}

export function makeSend({ outbox, store, watch, waitMs, domain }: SendOptions): Send {
  /** The same mail a second time, while another replica has it in hand: that one tells us nothing, so we look. */
  async function settledElsewhere(
    id: string,
    patience: Deadline,
    settledHere: Promise<Standing | undefined>,
  ): Promise<Standing | undefined> {
    while (!patience.passed) {
      const here = await Promise.race([settledHere, Bun.sleep(Math.min(LOOK_MS, patience.remainingMs()))]);
      if (here !== undefined) return here;
      const found = await store.find(id, patience);
      if (found.ok && found.value !== undefined && found.value.state !== "sending") return found.value;
    }
    return undefined;
  }

  return async (request, key, context) => {
    const keyed = key === undefined ? ok(Bun.randomUUIDv7()) : idOfKey(key);
    if (!keyed.ok) return keyed;
    const id = keyed.value;
    const contentHash = contentHashOf(request);
    const { from, to, subject, message } = request;
    const { deadline, requestId, trace } = context;

    const done = new AbortController();
    const patience = deadline.within(Math.min(waitMs, deadline.remainingMs() - ANSWER_MS));
    // Asked before the mail is accepted: its attempt may be over before the answer to that is here.
    const settled = outbox.settled(id, AbortSignal.any([patience.signal, done.signal]));
    try {
      const stored = await outbox.accept(
        {
          id,
          contentHash,
          sender: from,
          recipient: to,
          subject,
          message,
          messageId: messageIdOf(id, domain),
          requestId,
          traceparent: traceparentOf(trace),
        },
        deadline.within(ACCEPT_MS),
      );
      if (!stored.ok) return stored;
      const { standing } = stored.value;
      if (Buffer.compare(stored.value.contentHash, contentHash) !== 0) {
        return fail("invalid", "Idempotency-Key was used before for another mail");
      }
      const isUnderWay = standing.state === "queued" || standing.state === "sending";
      if (!isUnderWay || (standing.state === "queued" && watch.state === "away")) return replyOf(standing);
      const isOurs = standing.state === "queued" || stored.value.claimed !== undefined;
      const after = isOurs ? await settled : await settledElsewhere(id, patience, settled);
      if (after !== undefined) return replyOf(after);
      // Another replica may have sent it meanwhile. If that cannot be told, it is true that it was accepted.
      const found = await store.find(id, deadline);
      return replyOf((found.ok ? found.value : undefined) ?? standing);
    } finally {
      done.abort();
    }
  };
}
