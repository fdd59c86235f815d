/** HTTP surface of the mail service. Translates only; what becomes of a mail is decided in send.ts, what is told of it in view.ts. */
import { Elysia } from "elysia";
import { MailMessage } from "#contracts/mail";
import { contextOf, envelope } from "#shared/http";
import { makeValidator } from "#shared/validation";
import type { Send } from "./send.ts";
import type { View } from "./outbox/view.ts";

/** Of the original route, which ignores what it does not know. */
const looselyMailOf = makeValidator(MailMessage);
const mailOf = makeValidator(MailMessage, { unknown: "refuse" });

interface Call {
  readonly body: unknown;
  readonly request: Request;
  readonly set: { status?: number | string };
}

export function routes({ send, view }: { readonly send: Send; readonly view: View }) {
  const taking =
    (validate: typeof mailOf) =>
    async ({ body, request, set }: Call) => {
      const message = validate(body);
      if (!message.ok) throw message.error;
      const key = request.headers.get("idempotency-key") ?? undefined;
      const sent = await send(message.value, key, contextOf(request));
      if (!sent.ok) throw sent.error;
      set.status = 202;
      return envelope(sent.value.words, sent.value.reply);
    };
  return new Elysia({ name: "mail.routes" })
    .post("/send", taking(looselyMailOf))
    .post("/mails", taking(mailOf))
    .get("/mails/:id", async ({ params, request }) => {
      const seen = await view(params.id, contextOf(request).deadline);
      if (!seen.ok) throw seen.error;
      return envelope(seen.value.state, seen.value);
    });
}
