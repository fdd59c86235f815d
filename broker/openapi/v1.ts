/** The versioned API as a whole; of it here: receipts, health. */
import { API_KEYS } from "./api-keys.ts";
import { CHAOS } from "./chaos.ts";
import { FIGURES } from "./figures.ts";
import { LOG_LEVELS } from "./log-levels.ts";
import { LOGS } from "./logs.ts";
import { INTAKE } from "./intake.ts";
import { MAIL_LISTS } from "./mail-lists.ts";
import { MAILS } from "./mails.ts";
import { OPERATORS } from "./operators.ts";
import { SESSIONS } from "./sessions.ts";
import { TAIL } from "./tail.ts";
import { TRACES } from "./traces.ts";
import { USERS } from "./users.ts";
import { answer, AT, NO_QUERY, path, RECEIPT_ID, ref, refusal } from "./parts.ts";

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
        "Each instance of each service is asked anew, side by side, within a second. 200 as long as the broker itself is ready: the message says in a sentence what is degraded. `last_error`, and where instances are and of what version, is for whoever has the scope `platform:read`; in development, where no OPERATOR_TOKEN is set, for everybody.",
      security: [{ accessToken: ["platform:read"] }, { apiKey: ["platform:read"] }, { operatorToken: [] }, {}],
      responses: {
        "200": answer("`All is well`, or `Degraded: …`", {
          schema: ref("HealthReport"),
          example: {
            message: "Degraded: auth is not ready (postgres)",
            data: {
              services: [
                {
                  name: "broker",
                  state: "degraded",
                  instances: [{ state: "degraded", up_since: AT, took_ms: 0 }],
                  dependencies: [],
                  backlog: [{ name: "spooled entries", waiting: 0 }],
                  took_ms: 0,
                },
                {
                  name: "auth",
                  state: "not_ready",
                  instances: [{ state: "not_ready", up_since: AT, last_seen: AT, took_ms: 2 }],
                  dependencies: [{ name: "postgres", state: "down", required: true, since: AT, changes: 2 }],
                  backlog: [{ name: "outbox", waiting: 3 }],
                  took_ms: 2,
                },
              ],
              backing: [{ name: "postgres", state: "down", since: AT, seen_by: ["auth", "mail"] }],
              registry: { mode: "dns", state: "off", since: AT, announced: 0 },
            },
          },
        }),
        ...NO_QUERY,
        "503": refusal("The broker itself is starting or stopping"),
      },
    },
  },
};

export const V1 = {
  ...SESSIONS,
  ...USERS,
  ...API_KEYS,
  ...INTAKE,
  ...RECEIPTS,
  ...MAILS,
  ...MAIL_LISTS,
  ...LOGS,
  ...OPERATORS,
  ...LOG_LEVELS,
  ...TAIL,
  ...TRACES,
  ...HEALTH,
  ...CHAOS,
  ...FIGURES,
  // Of both.
  "/v1/logs": { ...LOGS["/v1/logs"], ...INTAKE["/v1/logs"] },
};
