/** HTTP surface of the write side. Translates only; what becomes of a mail is decided in send.ts. What is told of it: desk/routes.ts. */
import { Elysia } from "elysia";
import { MailMessage } from "#contracts/mail";
import { contextOf, envelope } from "#shared/http";
import type { CallerTable } from "#shared/service-keys";
import { makeValidator } from "#shared/validation";
import type { Send } from "./send.ts";

/** Which service may ask what: jobs send mails, and so do auth's workflows, which also look what became of them. */
export const CALLERS: CallerTable = {
  broker: ["*"],
  listener: ["POST /send"],
  auth: ["POST /send", "GET /mails/:id"],
};

/** Of the original route, which ignores what it does not know. */
const looselyMailOf = makeValidator(MailMessage);
const mailOf = makeValidator(MailMessage, { unknown: "refuse" });

interface Call {
  readonly body: unknown;
  readonly request: Request;
  readonly set: { status?: number | string };
}

export function routes({ send }: { readonly send: Send }) {
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
  return new Elysia({ name: "mail.routes" }).post("/send", taking(looselyMailOf)).post("/mails", taking(mailOf));
}
