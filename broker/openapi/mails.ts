/** The versioned API: mails, what operators ask and decide of them, and the links in them. */
import { MailQuery } from "#contracts/mail";
import {
  ACCEPTED_HEADERS,
  answer,
  AT,
  BEHIND,
  body,
  BODY_REFUSALS,
  IDEMPOTENCY_KEY,
  NO_QUERY,
  path,
  query,
  RECEIPT_ID,
  RECEIVED,
  ref,
  refusal,
} from "./parts.ts";

const MAIL = { from: "shop@example.com", to: "ann@example.org", subject: "Your order", message: "It is on its way." };
const ANN = { address: "ann@example.org", kind: "to", attempts: 1, updated_at: AT, expires_at: AT };
const REPLY = { code: 550, text: "550 5.1.1 no such user", command: "RCPT TO" };
const VIEW = {
  id: RECEIPT_ID,
  state: "sent",
  from: MAIL.from,
  to: MAIL.to,
  subject: MAIL.subject,
  attempts: 1,
  created_at: AT,
  updated_at: AT,
  expires_at: AT,
  recipients: [{ ...ANN, state: "sent" }],
  priority: "normal",
};
const TEMPLATE = { name: "welcome", version: 1, locale: "en" };
export const CONTENT = {
  subject: "Welcome",
  text: "Hello,\n\nyour account for ann@example.org is ready. …",
  html: "<!doctype html>…",
  template: TEMPLATE,
};

const ID = path("id", "`data.id` of the mail: also its receipt's id", { type: "string", format: "uuid" }, RECEIPT_ID);
const TOKEN = path(
  "token",
  "From `List-Unsubscribe` of the mail",
  { type: "string", maxLength: 1_024 },
  "v1.eyJhIjox.c2lnbmF0dXJl",
);
const NOT_FOUND = refusal("No such mail");
/** JSON, or a page that says the same. */
const orPage = (told: ReturnType<typeof answer>) => ({
  ...told,
  content: { ...told.content, "text/html": { schema: { type: "string" } } },
});
const NO_LINK = orPage(refusal("Not one of our links; a page for whoever accepts one"));
const AWAY = orPage(refusal("The mail service is away; a page for whoever accepts one", "Retry-After"));
export const QUERY_REFUSED = refusal("A query parameter that is not known or not valid");
export const READ = { tags: ["Operators"] };
export const DO = { ...READ, parameters: [IDEMPOTENCY_KEY] };
export const UNDER_WAY = refusal("The same Idempotency-Key is under way", "Retry-After");

const SENDING = {
  "/v1/mails": {
    post: {
      tags: ["Mails"],
      summary: "Send a mail",
      description:
        "To one or several recipients, from text or from a template. A 202 means durable: `data.receipt_id`, and Location, tell where to ask what became of it. `data.state` is how it stands after the first attempt, for which the answer waits up to 2 s: `sent` means that the mail server has it. `degraded` says that it waits for the mail server or the mail service.",
      parameters: [IDEMPOTENCY_KEY],
      requestBody: body(ref("MailMessage"), {
        text: MAIL,
        several: {
          ...MAIL,
          to: ["ann@example.org", "bob@example.net"],
          bcc: ["archive@example.com"],
          reply_to: "orders@example.com",
          headers: { "X-Order": "17" },
          priority: "high",
          attachments: [{ filename: "order.txt", content_type: "text/plain", content: "MTcK" }],
        },
        template: {
          from: MAIL.from,
          to: MAIL.to,
          template: { name: "welcome", locale: "de-AT", variables: { address: MAIL.to } },
          send_at: "2026-11-24T08:00:00Z",
        },
        bulk: { ...MAIL, list: "news", priority: "low" },
      }),
      responses: {
        "202": answer(
          "`Message sent to <to>`, or `Message queued for <to>`; of several `… <number> recipients`",
          {
            schema: { allOf: [ref("MailReply"), RECEIVED] },
            example: {
              message: "Message sent to ann@example.org",
              data: { id: RECEIPT_ID, state: "sent", receipt_id: RECEIPT_ID },
            },
          },
          ACCEPTED_HEADERS,
        ),
        "401": refusal("With an Idempotency-Key: a token that is not ours or over", "WWW-Authenticate"),
        "403": refusal("This sender may not send"),
        "409": UNDER_WAY,
        ...BODY_REFUSALS,
        "422": refusal("Not valid (the message names the field), or refused by the mail server for good, in its words"),
        ...BEHIND,
        "429": refusal("This sender has sent too many, or too many requests", "Retry-After"),
        "503": refusal("Mail service and RabbitMQ are away: nothing was accepted", "Retry-After"),
      },
    },
    get: {
      ...READ,
      summary: "Mails, newest first",
      description: "All conditions that are given have to hold, of one recipient at least. Never their text.",
      parameters: query(MailQuery),
      responses: {
        "200": answer("A page of them; `next_cursor` where there are more", {
          schema: ref("MailPage"),
          example: { message: "mails", data: { items: [VIEW], next_cursor: "MjAyNi0xMS0yM1QwOTozMA" } },
        }),
        "422": QUERY_REFUSED,
        ...BEHIND,
      },
    },
  },
  "/v1/unsubscribe/{token}": {
    get: {
      tags: ["Mails"],
      summary: "The page behind the link in a bulk mail",
      description: "For people; it changes nothing. Open to whoever has the link.",
      parameters: [TOKEN],
      responses: {
        "200": { description: "A page with one button", content: { "text/html": { schema: { type: "string" } } } },
        "404": NO_LINK,
        "502": BEHIND["502"],
        "503": AWAY,
        "504": BEHIND["504"],
      },
    },
    post: {
      tags: ["Mails"],
      summary: "Leave a mailing list with one click (RFC 8058)",
      description: "What mail programs and that page's button send. A body is ignored. Twice is once.",
      parameters: [TOKEN],
      responses: {
        "200": orPage(
          answer("Done: no more mails of this list go to this address; a page for whoever accepts one", undefined),
        ),
        "404": NO_LINK,
        "502": BEHIND["502"],
        "503": AWAY,
        "504": BEHIND["504"],
      },
    },
  },
};

const LOOKING = {
  "/v1/mails/{id}": {
    get: {
      ...READ,
      summary: "Where a mail stands, with every attempt and the mail server's reply",
      description:
        "For operators, since it names sender, recipients and subject. Its receipt tells the state to whoever has its id.",
      parameters: [ID],
      responses: {
        "200": answer("The mail with its recipients", {
          schema: ref("MailView"),
          example: {
            message: "failed",
            data: {
              ...VIEW,
              state: "failed",
              reply: REPLY,
              recipients: [
                {
                  ...ANN,
                  state: "failed",
                  reply: REPLY,
                  history: [{ at: AT, outcome: "failed", reply: REPLY, took_ms: 12 }],
                },
              ],
            },
          },
        }),
        "404": NOT_FOUND,
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
  "/v1/mails/{id}/content": {
    get: {
      ...READ,
      summary: "What a mail looks like to who gets it",
      description: "Show `html` only in a frame that may run nothing (`sandbox`).",
      parameters: [ID],
      responses: {
        "200": answer("Subject and both parts", {
          schema: ref("MailContent"),
          example: { message: "content", data: CONTENT },
        }),
        "404": NOT_FOUND,
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
};

const DECIDING = {
  "/v1/mails/{id}/resolve": {
    post: {
      ...DO,
      summary: "Decide what becomes of a mail of which it is not known whether it was sent",
      description:
        "`sent` and `failed` say how it was; `resend` sends it once more, also one that failed, expired, bounced or was cancelled.",
      parameters: [ID, IDEMPOTENCY_KEY],
      requestBody: body(ref("ResolveRequest"), {
        resend: { as: "resend" },
        one: { as: "sent", to: "ann@example.org" },
      }),
      responses: {
        "200": answer(
          "The mail as it stands now",
          {
            schema: ref("MailView"),
            example: { message: "sent", data: VIEW },
          },
          ["Idempotent-Replayed"],
        ),
        "404": NOT_FOUND,
        "409": refusal("Its state leaves nothing to decide, or the same Idempotency-Key is under way", "Retry-After"),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
  "/v1/mails/{id}/cancel": {
    post: {
      ...DO,
      summary: "Take back a mail that was not sent yet",
      parameters: [ID, IDEMPOTENCY_KEY],
      requestBody: body(ref("CancelRequest"), { all: {}, one: { to: "ann@example.org" } }),
      responses: {
        "200": answer(
          "The mail as it stands now",
          {
            schema: ref("MailView"),
            example: {
              message: "cancelled",
              data: { ...VIEW, state: "cancelled", recipients: [{ ...ANN, state: "cancelled" }] },
            },
          },
          ["Idempotent-Replayed"],
        ),
        "404": NOT_FOUND,
        "409": refusal("It is sent, or being sent, or the same Idempotency-Key is under way", "Retry-After"),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
};

export const MAILS = { ...SENDING, ...LOOKING, ...DECIDING };
