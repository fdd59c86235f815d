/** The versioned API: sessions, receipts, health. */
import { MAIL_LISTS } from "./mail-lists.ts";
import { MAILS } from "./mails.ts";
import { OPERATORS } from "./operators.ts";
import {
  answer,
  AT,
  BEHIND,
  body,
  BODY_REFUSALS,
  IDEMPOTENCY_KEY,
  NO_QUERY,
  OPERATOR,
  path,
  RECEIPT_ID,
  ref,
  refusal,
  SESSION,
} from "./parts.ts";

const USER = {
  id: 7,
  email: "ann@example.com",
  first_name: "Ann",
  last_name: "Other",
  active: 1,
  created_at: AT,
  updated_at: AT,
};

const ME = {
  ...USER,
  session_id: "01998f5e-7c10-7d01-9b3c-3f5e9d2a4c11",
  role: "member",
  scopes: ["logs:write", "mails:send"],
  email_verified: false,
  version: 1,
};

const SESSIONS = {
  "/v1/me": {
    get: {
      tags: ["Sessions"],
      summary: "The user of this session",
      description:
        "The token is verified by the broker itself; who the user is now is asked of auth. While auth is away, the answer is what auth said last (at most SESSION_CACHE_MAX_AGE_S ago, by default 10 minutes, and never after the token's own end), and says so.",
      security: SESSION,
      responses: {
        "200": answer(
          "The user; `degraded` where it is from memory",
          {
            schema: { allOf: [ref("MeView"), { type: "object", properties: { degraded: ref("Degraded") } }] },
            example: {
              message: "The user of this session",
              data: {
                ...ME,
                degraded: { auth: "cached;age=12" },
              },
            },
          },
          ["X-Degraded"],
        ),
        "401": refusal("No token, one that is not ours or over, or a session that has ended", "WWW-Authenticate"),
        ...NO_QUERY,
        "429": BEHIND["429"],
        "502": BEHIND["502"],
        "503": refusal(
          "Auth is away, and nothing is known of this session, or of the key that its token is signed with",
          "Retry-After",
        ),
      },
    },
  },
  "/v1/users": {
    post: {
      tags: ["Sessions"],
      summary: "Register",
      description:
        "Creates the user and sends a welcome mail (`mail_id`). After a 502, 503 or 504 it is not known whether the user was created: the same Idempotency-Key and body again tells.",
      parameters: [IDEMPOTENCY_KEY],
      requestBody: body(ref("Registration"), {
        registration: {
          email: "ann@example.com",
          password: "correct horse battery staple",
          first_name: "Ann",
          last_name: "Other",
        },
      }),
      responses: {
        "201": answer(
          "`User registered`",
          {
            schema: ref("RegistrationView"),
            example: { message: "User registered", data: { ...USER, registration: "pending", mail_id: RECEIPT_ID } },
          },
          ["Idempotent-Replayed"],
        ),
        "409": refusal("The address is taken"),
        ...BODY_REFUSALS,
        ...BEHIND,
        "503": refusal("Auth is away", "Retry-After"),
      },
    },
  },
};

const RECEIPTS = {
  "/v1/receipts/{id}": {
    get: {
      tags: ["Receipts"],
      summary: "Where something is that was accepted",
      description:
        "By asking its owners. `unasked` names those that did not answer: what they know may be further. `accepted`: it was, and nobody has seen it yet.",
      parameters: [
        path(
          "id",
          "`data.receipt_id` of the answer; also the id of an event or mail of another producer",
          { type: "string", minLength: 1, maxLength: 128 },
          RECEIPT_ID,
        ),
      ],
      responses: {
        "200": answer("Its state, and what is known of its way", {
          schema: ref("Receipt"),
          example: {
            message: "stored",
            data: {
              id: RECEIPT_ID,
              kind: "log",
              state: "stored",
              where: "logger",
              at: AT,
              final: true,
              steps: [
                { state: "accepted", where: "broker", at: AT },
                { state: "stored", where: "logger", at: AT },
              ],
              unasked: [],
            },
          },
        }),
        "404": refusal("Nothing with this id was ever accepted"),
        "422": refusal("No id"),
        "503": refusal("It is none of ours, and somebody who could know it did not answer", "Retry-After"),
      },
    },
  },
};

const HEALTH = {
  "/v1/health": {
    get: {
      tags: ["Health"],
      summary: "All five services and what they depend on, as one answer",
      description:
        "Each service is asked anew, within a second. 200 as long as the broker itself is ready: the message says in a sentence what is degraded. `last_error` is for operators.",
      security: OPERATOR,
      responses: {
        "200": answer("`All is well`, or `Degraded: …`", {
          schema: ref("HealthReport"),
          example: {
            message: "Degraded: auth is not ready (postgres)",
            data: {
              services: [
                { name: "broker", state: "degraded", dependencies: [], took_ms: 0 },
                {
                  name: "auth",
                  state: "not_ready",
                  dependencies: [{ name: "postgres", state: "down", required: true, since: AT }],
                  took_ms: 2,
                },
              ],
              backing: [{ name: "postgres", state: "down", seen_by: ["auth", "mail"] }],
            },
          },
        }),
        ...NO_QUERY,
        "503": refusal("The broker itself is starting or stopping"),
      },
    },
  },
};

export const V1 = { ...SESSIONS, ...RECEIPTS, ...MAILS, ...MAIL_LISTS, ...OPERATORS, ...HEALTH };
