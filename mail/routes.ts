/** HTTP surface of the write side. Translates only; what becomes of a mail is decided in send.ts. What is told of it: desk/routes.ts. */
import { Elysia } from "elysia";
import { MailRequest } from "#contracts/mail";
import { contextOf, envelope } from "#shared/http";
import { makeValidator } from "#shared/validation";
import { withPlainAddresses } from "./address.ts";
import type { Send } from "./send.ts";

const mailOf = makeValidator(MailRequest);

export function routes({ send }: { readonly send: Send }) {
  return new Elysia({ name: "mail.routes" }).post("/send", async ({ body, request, set }) => {
    const valid = mailOf(body);
    const mail = valid.ok ? withPlainAddresses(valid.value) : valid;
    if (!mail.ok) throw mail.error;
    const key = request.headers.get("idempotency-key") ?? undefined;
    const reply = await send(mail.value, key, contextOf(request));
    if (!reply.ok) throw reply.error;
    set.status = 202;
    const { to } = mail.value;
    return envelope(reply.value.state === "sent" ? `email sent to ${to}` : `email queued for ${to}`, reply.value);
  });
}
