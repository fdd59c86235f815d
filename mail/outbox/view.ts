/** Tells where a mail stands. Knows no HTTP and no SQL. Never the body of a mail: who may ask for a state need not read it. */
import { type MailRecipient, type MailView, PRIORITIES } from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";
import { isUuid } from "#shared/ids";
import type { Deadline } from "#shared/resilience";
import { sumOf } from "./states.ts";
import type { Looked, Progressing, Store } from "./store.ts";

/** @returns the mail as it stands now. Failures: `not_found` (also for what is no id of a mail), `unavailable`, `deadline`. */
export type View = (id: string, deadline: Deadline) => Promise<Result<MailView>>;

/** For the database to answer (ms). */
const LOOK_MS = 3_000;

function recipientOf(row: Progressing): MailRecipient {
  const { state, smtpCode, smtpText, smtpCommand } = row;
  const waits = state === "queued" || state === "deferred";
  return {
    address: row.recipient,
    kind: row.kind,
    state,
    attempts: row.attempt,
    updated_at: row.updatedAt.toISOString(),
    ...(waits ? { next_attempt_at: row.nextAt.toISOString() } : {}),
    expires_at: row.expiresAt.toISOString(),
    ...(smtpText === undefined
      ? {}
      : {
          reply: {
            ...(smtpCode === undefined ? {} : { code: smtpCode }),
            text: smtpText,
            ...(smtpCommand === undefined ? {} : { command: smtpCommand }),
          },
        }),
  };
}

function viewOf(mail: Looked): MailView {
  const recipients = mail.recipients.map(recipientOf);
  const state = sumOf(mail.recipients.map((row) => row.state));
  const told = recipients.find((recipient) => recipient.state === state) ?? recipients[0];
  if (told === undefined) throw new Error("a mail without recipients");
  const { address, kind: _kind, ...standing } = told;
  return {
    ...standing,
    id: mail.id,
    state,
    from: mail.sender,
    to: address,
    subject: mail.subject,
    created_at: mail.createdAt.toISOString(),
    recipients,
    priority: PRIORITIES[mail.priority],
  };
}

export function makeView(store: Pick<Store, "look">): View {
  return async (id, deadline) => {
    const lower = id.toLowerCase();
    if (!isUuid(lower)) return fail("not_found", "no such mail");
    const found = await store.look(lower, deadline.within(LOOK_MS));
    if (!found.ok) return found;
    return found.value === undefined ? fail("not_found", "no such mail") : ok(viewOf(found.value));
  };
}
