/** The versioned API: mails, and what operators ask and decide of them. */
import { MailQuery, SuppressionQuery, TEMPLATE_NAME_PATTERN } from "#contracts/mail";
import { RemovalQuery } from "../v1/mails.ts";
import {
  ACCEPTED_HEADERS,
  answer,
  AT,
  BEHIND,
  body,
  BODY_REFUSALS,
  IDEMPOTENCY_KEY,
  NO_QUERY,
  OPERATOR,
  path,
  query,
  RECEIPT_ID,
  RECEIVED,
  ref,
  refusal,
  REFUSED_OPERATOR,
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
const CONTENT = {
  subject: "Welcome, Ann",
  text: "Hello Ann, …",
  html: "<!doctype html><p>Hello Ann, …</p>",
  template: TEMPLATE,
};
const SUPPRESSION = { address: "ann@example.org", reason: "550 5.1.1 no such user", created_at: AT };

const ID = path("id", "`data.id` of the mail: also its receipt's id", { type: "string", format: "uuid" }, RECEIPT_ID);
const NOT_FOUND = refusal("No such mail");
const QUERY_REFUSED = refusal("A query parameter that is not known or not valid");
const READ = { tags: ["Operators"], security: OPERATOR };
const DO = { ...READ, parameters: [IDEMPOTENCY_KEY] };
const UNDER_WAY = refusal("The same Idempotency-Key is under way", "Retry-After");

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
          template: { name: "welcome", locale: "de-AT", variables: { name: "Ann" } },
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
        ...REFUSED_OPERATOR,
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
      parameters: [
        path("token", "From `List-Unsubscribe` of the mail", { type: "string", maxLength: 512 }, "eyJhIjox"),
      ],
      responses: {
        "200": { description: "A page with one button", content: { "text/html": { schema: { type: "string" } } } },
        "404": refusal("Not one of our links"),
        "502": BEHIND["502"],
        "503": refusal("The mail service is away; a page for whoever accepts one", "Retry-After"),
        "504": BEHIND["504"],
      },
    },
    post: {
      tags: ["Mails"],
      summary: "Leave a mailing list with one click (RFC 8058)",
      description: "What mail programs and that page's button send. A body is ignored. Twice is once.",
      parameters: [
        path("token", "From `List-Unsubscribe` of the mail", { type: "string", maxLength: 512 }, "eyJhIjox"),
      ],
      responses: {
        "200": {
          description: "Done: no more mails of this list go to this address",
          content: { "text/html": { schema: { type: "string" } } },
        },
        "404": refusal("Not one of our links"),
        "502": BEHIND["502"],
        "503": refusal("The mail service is away; a page for whoever accepts one", "Retry-After"),
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
        ...REFUSED_OPERATOR,
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
        ...REFUSED_OPERATOR,
        "404": NOT_FOUND,
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
  "/v1/templates": {
    get: {
      ...READ,
      summary: "Templates: names, versions, locales, and the schema of their variables",
      responses: {
        "200": answer("All of them", {
          schema: ref("TemplateList"),
          example: {
            message: "templates",
            data: {
              items: [
                {
                  name: "welcome",
                  version: 1,
                  locales: ["de", "en"],
                  description: "To somebody who has registered",
                  schema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
                  example: { name: "Ann" },
                },
              ],
            },
          },
        }),
        ...REFUSED_OPERATOR,
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
  "/v1/templates/{name}/preview": {
    post: {
      ...READ,
      summary: "A template with these variables, as it would be sent",
      description: "Sends nothing. Show `html` only in a frame that may run nothing (`sandbox`).",
      parameters: [
        path("name", "Of the template", { type: "string", pattern: TEMPLATE_NAME_PATTERN }, "welcome"),
        IDEMPOTENCY_KEY,
      ],
      requestBody: body(ref("PreviewRequest"), {
        german: { locale: "de", variables: { name: "Ann" } },
        "an older version": { version: 1, variables: { name: "Ann" } },
      }),
      responses: {
        "200": answer(
          "Subject and both parts",
          { schema: ref("MailContent"), example: { message: "preview", data: CONTENT } },
          ["Idempotent-Replayed"],
        ),
        ...REFUSED_OPERATOR,
        "404": refusal("No such template, or not in this version"),
        "409": UNDER_WAY,
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
  "/v1/suppressions": {
    get: {
      ...READ,
      summary: "Addresses that get no mail, newest first",
      parameters: query(SuppressionQuery),
      responses: {
        "200": answer("A page of them", {
          schema: ref("SuppressionPage"),
          example: { message: "suppressions", data: { items: [SUPPRESSION] } },
        }),
        ...REFUSED_OPERATOR,
        "422": QUERY_REFUSED,
        ...BEHIND,
      },
    },
    post: {
      ...DO,
      summary: "Send no more mail to an address",
      description: "At all, or of one mailing list.",
      requestBody: body(ref("SuppressRequest"), {
        all: { address: "ann@example.org", reason: "asked for it" },
        list: { address: "ann@example.org", list: "news" },
      }),
      responses: {
        "200": answer(
          "It is on the list",
          {
            schema: ref("Suppression"),
            example: { message: "suppressed", data: SUPPRESSION },
          },
          ["Idempotent-Replayed"],
        ),
        ...REFUSED_OPERATOR,
        "409": UNDER_WAY,
        ...BODY_REFUSALS,
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
        ...REFUSED_OPERATOR,
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
        ...REFUSED_OPERATOR,
        "404": NOT_FOUND,
        "409": refusal("It is sent, or being sent, or the same Idempotency-Key is under way", "Retry-After"),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
  "/v1/suppressions/{address}": {
    delete: {
      ...READ,
      summary: "Send mail to an address again",
      parameters: [
        path("address", "As it is on the list", { type: "string", maxLength: 254 }, "ann@example.org"),
        ...query(RemovalQuery),
      ],
      responses: {
        "200": answer("It is no longer on the list", undefined),
        ...REFUSED_OPERATOR,
        "404": refusal("It is not on the list"),
        "422": QUERY_REFUSED,
        ...BEHIND,
      },
    },
  },
  "/v1/bounces": {
    post: {
      ...DO,
      summary: "Hand in a delivery status notification (RFC 3464)",
      description:
        "As it came to the bounce mailbox. The mails that it is about are `bounced` where it says so, and addresses that do not exist get no more mail. Twice is once.",
      requestBody: body(ref("BounceRequest"), {
        text: { message: "From: MAILER-DAEMON@example.org\r\nContent-Type: multipart/report; …" },
        base64: { message: "RnJvbTogTUFJTEVSLURBRU1PTg==", encoding: "base64" },
      }),
      responses: {
        "200": answer(
          "What it says of whom, and what was made of it",
          {
            schema: ref("BounceReport"),
            example: {
              message: "1 recipient bounced",
              data: {
                recipients: [
                  {
                    address: "ann@example.org",
                    action: "failed",
                    status: "5.1.1",
                    mail_id: RECEIPT_ID,
                    suppressed: true,
                  },
                ],
              },
            },
          },
          ["Idempotent-Replayed"],
        ),
        ...REFUSED_OPERATOR,
        "409": UNDER_WAY,
        ...BODY_REFUSALS,
        "422": refusal("Not a delivery status notification"),
        ...BEHIND,
      },
    },
  },
};

export const MAILS = { ...SENDING, ...LOOKING, ...DECIDING };
