/** The versioned API: templates, and who gets no mail. */
import { SuppressionQuery, TEMPLATE_NAME_PATTERN } from "#contracts/mail";
import { RemovalQuery } from "../v1/mails.ts";
import { CONTENT, DO, QUERY_REFUSED, READ, UNDER_WAY } from "./mails.ts";
import {
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
  ref,
  refusal,
} from "./parts.ts";

/** Variables of the template `welcome`. */
const WELCOMED = { address: "ann@example.org" };
const SUPPRESSION = { address: "ann@example.org", reason: "550 5.1.1 no such user", created_at: AT };

export const MAIL_LISTS = {
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
                  description: "Sent once when somebody has registered.",
                  schema: { type: "object", properties: { address: { type: "string" } }, required: ["address"] },
                  example: WELCOMED,
                },
              ],
            },
          },
        }),
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
        german: { locale: "de", variables: WELCOMED },
        "this version": { version: 1, variables: WELCOMED },
      }),
      responses: {
        "200": answer(
          "Subject and both parts",
          { schema: ref("MailContent"), example: { message: "preview", data: CONTENT } },
          ["Idempotent-Replayed"],
        ),
        "409": UNDER_WAY,
        ...BODY_REFUSALS,
        "422": refusal("No such template or version, or variables that are not as its schema says"),
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
        "200": answer("It was on the list", { schema: ref("Suppression") }, ["Idempotent-Replayed"]),
        "201": answer(
          "It is on the list now",
          {
            schema: ref("Suppression"),
            example: { message: "suppressed", data: SUPPRESSION },
          },
          ["Idempotent-Replayed"],
        ),
        "409": UNDER_WAY,
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
        "409": UNDER_WAY,
        ...BODY_REFUSALS,
        "422": refusal("Not a delivery status notification"),
        ...BEHIND,
      },
    },
  },
};
