/** Tells where a mail stands. Knows no HTTP and no SQL. Never the body of a mail: who may ask for a state need not read it. */
import type { MailView } from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";
import { isUuid } from "#shared/ids";
import type { Deadline } from "#shared/resilience";
import type { Progressing, Store } from "./store.ts";

/** @returns the mail as it stands now. Failures: `not_found` (also for what is no id of a mail), `unavailable`, `deadline`. */
export type View = (id: string, deadline: Deadline) => Promise<Result<MailView>>;

/** For the database to answer (ms). */
const LOOK_MS = 3_000;

function viewOf(mail: Progressing): MailView {
  const { state, smtpCode, smtpText, smtpCommand } = mail;
  const waits = state === "queued" || state === "deferred";
  return {
    id: mail.id,
    state,
    from: mail.sender,
    to: mail.recipient,
    subject: mail.subject,
    attempts: mail.attempt,
    created_at: mail.createdAt.toISOString(),
    updated_at: mail.updatedAt.toISOString(),
    ...(waits ? { next_attempt_at: mail.nextAt.toISOString() } : {}),
    expires_at: mail.expiresAt.toISOString(),
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

export function makeView(store: Pick<Store, "look">): View {
  return async (id, deadline) => {
    const lower = id.toLowerCase();
    if (!isUuid(lower)) return fail("not_found", "no such mail");
    const found = await store.look(lower, deadline.within(LOOK_MS));
    if (!found.ok) return found;
    return found.value === undefined ? fail("not_found", "no such mail") : ok(viewOf(found.value));
  };
}
