/** A mail for the mail service, which was away when it was wanted. */
import { MailMessage } from "#contracts/mail";
import { failureOfAnswer } from "#shared/client";
import { fail, ok } from "#shared/errors";
import { quietContext } from "#shared/telemetry";
import { defineJob } from "../job.ts";

/** What can be an HTTP header as it is. */
const PLAIN_KEY = /^[\x21-\x7e]{1,128}$/;

export const job = defineJob({
  schema: MailMessage,
  async run(mail, { id, trace, deadline, ports }) {
    // What the service has under the key from an earlier try it does not send again.
    const key = PLAIN_KEY.test(id) ? id : new Bun.CryptoHasher("sha256").update(id).digest("hex");
    const headers = { "idempotency-key": key };
    const answered = await ports.mail.request("POST", "/send", mail, { requestId: key, trace, deadline }, headers);
    if (!answered.ok) return answered;
    const { status } = answered.value;
    if (status < 300) return ok();
    // It is there and broke at this mail, perhaps only at this one.
    if (status === 500) return fail("internal", "the mail service failed at this mail");
    const failure = failureOfAnswer(answered.value);
    const { code, message, retryAfterS } = failure;
    // That this sender may not send at all is said of the mail, and not of us.
    if (code === "forbidden") return fail("invalid", message);
    // What is used up is this sender's: the mails of others go on meanwhile.
    if (code === "exhausted") return fail("conflict", message, retryAfterS === undefined ? {} : { retryAfterS });
    return { ok: false, error: failure };
  },
  async probe(ports, deadline) {
    const context = quietContext(deadline.remainingMs(), deadline.signal);
    const answered = await ports.mail.request("GET", "/ready", undefined, context);
    if (!answered.ok) return answered;
    return answered.value.status === 200 ? ok() : fail("unavailable", `mail is ${answered.value.envelope.message}`);
  },
});
