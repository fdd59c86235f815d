/** The routes that stay as they are for ever, and those that every service has. */
import { BATCH_MAX } from "#contracts/broker";
import {
  ACCEPTED_HEADERS,
  answer,
  BEHIND,
  body,
  BODY_REFUSALS,
  IDEMPOTENCY_KEY,
  RECEIPT_ID,
  RECEIVED,
  ref,
  refusal,
  text,
} from "./parts.ts";

const EXAMPLES = {
  auth: { action: "auth", auth: { email: "admin@example.com", password: "verysecret" } },
  log: { action: "log", log: { name: "event", data: "Some kind of data" } },
  mail: {
    action: "mail",
    mail: { from: "me@example.com", to: "you@there.com", subject: "Test email", message: "Hello world!" },
  },
};
/** Its data says which mail; where it stands is told under /v1. */
const OF_A_MAIL = {
  type: "object",
  properties: { id: { type: "string", description: "UUID of the mail: also its receipt's" } },
  required: ["id"],
};
const ANY = { oneOf: [ref("AuthAction"), ref("LogAction"), ref("MailAction")] };

export const ACTIONS = {
  "/": {
    post: {
      tags: ["Actions"],
      summary: "Hit the broker",
      description: "Publishes the event `broker_hit`. A body is ignored.",
      parameters: [IDEMPOTENCY_KEY],
      responses: {
        "200": answer("`Hit the Broker`", undefined, ["Location", "Idempotent-Replayed"]),
        "409": refusal("The same Idempotency-Key is under way", "Retry-After"),
        "422": refusal("Idempotency-Key is none, or was used before for another request"),
        "503": refusal("The event could be kept nowhere", "Retry-After"),
      },
    },
  },
  "/handle": {
    post: {
      tags: ["Actions"],
      summary: "Do one action, or a batch",
      description: `One action (auth, log, mail), or an array of up to ${BATCH_MAX} of them. A 202 means durable: \`data.receipt_id\`, and Location, tell where to ask what became of it. X-Degraded and data.degraded say where something was done in another way than usual.`,
      parameters: [IDEMPOTENCY_KEY],
      requestBody: body(
        { oneOf: [...ANY.oneOf, { type: "array", items: ANY, minItems: 1, maxItems: BATCH_MAX }] },
        { ...EXAMPLES, batch: [EXAMPLES.log, EXAMPLES.mail] },
      ),
      responses: {
        "202": answer(
          "`Authenticated!` with the user and his tokens; `Logged via RPC: Processing succeeded`, or `Log entry queued`; `Message sent to <to>`, or `Message queued for <to>`",
          {
            schema: { anyOf: [{ allOf: [ref("LoginReply"), RECEIVED] }, { allOf: [OF_A_MAIL, RECEIVED] }, RECEIVED] },
            example: {
              message: "Log entry queued",
              data: { receipt_id: RECEIPT_ID, degraded: { logger: "queued" } },
            },
          },
          ACCEPTED_HEADERS,
        ),
        "207": answer(
          "A batch: data has one outcome an action, in order",
          { schema: { type: "array", items: ref("BatchItem") } },
          ["X-Degraded", "Idempotent-Replayed"],
        ),
        "401": refusal("`Invalid credentials!!!`, or no credential where one is needed", "WWW-Authenticate"),
        "403": refusal(
          "A mail: this sender may not send; the credential does not have the action's scope",
          "WWW-Authenticate",
        ),
        "409": refusal("The same Idempotency-Key is under way", "Retry-After"),
        ...BODY_REFUSALS,
        "400": refusal("Not JSON, or `Unknown action!!!`"),
        ...BEHIND,
        "503": refusal(
          "A service behind is away, or has too much to do, and nothing could take the request in its place",
          "Retry-After",
          "X-Overloaded",
        ),
      },
    },
  },
};

export const OPERATIONS = {
  "/.well-known/jwks.json": {
    get: {
      tags: ["Sessions"],
      summary: "The public keys of access tokens",
      description:
        "A JWK set (RFC 7517) for whoever verifies tokens himself: `EdDSA`, `typ` `at+jwt`, `iss` `platform-auth`, `aud` `platform` (RFC 9068). A new key is here 5 minutes before it signs; one that signs no longer, as long as its tokens live. As the broker knows them: auth may be away.",
      responses: {
        "200": { description: "The set", content: { "application/json": { schema: { type: "object" } } } },
        "503": refusal("No key is known yet", "Retry-After"),
      },
    },
  },
  "/ping": { get: { tags: ["Health"], summary: "Alive", responses: { "200": text("`OK`") } } },
  "/ready": {
    get: {
      tags: ["Health"],
      summary: "The broker: ready, and the state of each dependency",
      responses: {
        "200": answer("Ready", undefined),
        "503": refusal("Not ready: data.dependencies says why"),
      },
    },
  },
  "/metrics": {
    get: { tags: ["Health"], summary: "Prometheus metrics", responses: { "200": text("The exposition format") } },
  },
  "/openapi.json": {
    get: {
      tags: ["Health"],
      summary: "This description",
      responses: { "200": { description: "OpenAPI 3.1", content: { "application/json": { schema: {} } } } },
    },
  },
};
