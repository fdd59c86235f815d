/** What a delivery status notification (RFC 3464) does to the mail that it is about. Knows no HTTP, MIME or SQL. */
import { ADDRESS_PATTERN, type BounceReport, type BounceRequest } from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";
import { isUuid } from "#shared/ids";
import type { Deadline } from "#shared/resilience";
import type { BounceStore, BounceWrite } from "./suppression-store.ts";

/** What a notification says of one recipient. */
export interface Notification {
  readonly recipient: string;
  readonly action: "failed" | "delayed" | "delivered" | "relayed" | "expanded";
  /** Enhanced status code (RFC 3463), e.g. `5.1.1`. */
  readonly status: string;
  /** What the other server said. */
  readonly diagnostic?: string;
  /** Message-ID of the mail that it is about, without brackets, where it could be told. */
  readonly messageId?: string;
}

/** Of a bounded number of recipients. Failure `invalid` for what is no such notification. */
export type ParseBounce = (message: Uint8Array) => Promise<Result<readonly Notification[]>>;

/**
 * Only what is about a mail of ours to that address has any effect, else anybody could suppress anybody. The same
 * notification again changes nothing more.
 * @returns what was made of it. Failures: `invalid` (no notification), `conflict` (about a mail that is being sent this
 *   moment: hand it in again), `unavailable`, `deadline`.
 */
export type TakeBounce = (request: BounceRequest, deadline: Deadline) => Promise<Result<BounceReport>>;

/** For the database to answer about one recipient (ms). */
const QUERY_MS = 3_000;
/** As the outbox keeps what servers say. */
const MAX_TEXT = 500;
const MAX_REASON = 200;

/**
 * The address itself is bad (RFC 3463 §3.2, §3.3, RFC 7505): no such mailbox, no such domain, no address, moved, no
 * mail taken there, disabled. Others (full, too large, refused as spam) say nothing of the next mail.
 */
const BAD_ADDRESS = new Set(["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"]);

const ADDRESS = new RegExp(ADDRESS_PATTERN);
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

function bytesOf({ message, encoding }: BounceRequest): Result<Uint8Array> {
  if (encoding === undefined) return ok(new TextEncoder().encode(message));
  // Without its line breaks first: an expression that knows them in two places is quadratic in them.
  const bare = message.replaceAll(/\s+/g, "");
  return BASE64.test(bare) ? ok(Buffer.from(bare, "base64")) : fail("invalid", "message must be base64");
}

/** The mail that a Message-ID of ours names; the database tells whether there is one. */
function mailIdOf(messageId: string | undefined): string | undefined {
  const id = messageId?.slice(0, messageId.indexOf("@")).toLowerCase() ?? "";
  return isUuid(id) ? id : undefined;
}

/** What the other server said, as a reply: its type (`smtp;`) is not part of it. One line of printable ASCII. */
function replyOf({ status, diagnostic = "" }: Notification): Pick<BounceWrite, "code" | "text"> {
  const said = diagnostic
    .replaceAll(/[^\x20-\x7e]+/g, " ")
    .replace(/^\s*smtp\s*;/i, "")
    .trim()
    .slice(0, MAX_TEXT);
  const code = /^([245]\d\d)(?![\d.])/.exec(said)?.[1];
  return { code: code === undefined ? undefined : Number(code), text: said === "" ? status : said };
}

type Reported = BounceReport["recipients"][number];

export function makeTakeBounce(store: BounceStore, parse: ParseBounce): TakeBounce {
  async function apply(
    notification: Notification,
    deadline: Deadline,
  ): Promise<Result<{ readonly reported: Reported; readonly isSending: boolean }>> {
    const { action, status, messageId } = notification;
    const address = notification.recipient.toLowerCase();
    const reported = { address, action, status, suppressed: false };
    const mailId = mailIdOf(messageId);
    if (mailId === undefined || messageId === undefined || !ADDRESS.test(address)) {
      return ok({ reported, isSending: false });
    }
    const bounce = { mailId, messageId: messageId.toLowerCase(), address, ...replyOf(notification) };
    if (action !== "failed") {
      if (action !== "delayed") return ok({ reported, isSending: false });
      const noted = await store.delayed(bounce, deadline.within(QUERY_MS));
      if (!noted.ok) return noted;
      return ok({ reported: noted.value ? { ...reported, mail_id: mailId } : reported, isSending: false });
    }
    const reason = BAD_ADDRESS.has(status) ? `bounced: ${status} ${bounce.text}`.slice(0, MAX_REASON) : undefined;
    const bounced = await store.bounced(bounce, reason, deadline.within(QUERY_MS));
    if (!bounced.ok) return bounced;
    const { states, suppressed } = bounced.value;
    return ok({
      reported: states.length === 0 ? reported : { ...reported, mail_id: mailId, suppressed },
      isSending: states.includes("sending"),
    });
  }

  return async (request, deadline) => {
    const bytes = bytesOf(request);
    if (!bytes.ok) return bytes;
    const parsed = await parse(bytes.value);
    if (!parsed.ok) return parsed;
    const recipients: Reported[] = [];
    let sending = false;
    for (const notification of parsed.value) {
      const applied = await apply(notification, deadline);
      if (!applied.ok) return applied;
      recipients.push(applied.value.reported);
      sending ||= applied.value.isSending;
    }
    // Faster than our own note that the mail was taken: dropped now, the bounce would be lost.
    return sending ? fail("conflict", "the mail is being sent: hand this in again") : ok({ recipients });
  };
}
