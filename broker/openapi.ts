/** The API description (OpenAPI 3.1), made from the schemas that requests are checked with. */
import { AuthAction, BATCH_MAX, BatchItem, LogAction, MailAction } from "#contracts/broker";
import { Envelope } from "#contracts/envelope";

const JSON_TYPE = "application/json";
const EXAMPLES = {
  auth: { value: { action: "auth", auth: { email: "admin@example.com", password: "verysecret" } } },
  log: { value: { action: "log", log: { name: "event", data: "Some kind of data" } } },
  mail: {
    value: {
      action: "mail",
      mail: { from: "me@example.com", to: "you@there.com", subject: "Test email", message: "Hello world!" },
    },
  },
};

const answer = (description: string, schema: object = { $ref: "#/components/schemas/Envelope" }) => ({
  description,
  content: { [JSON_TYPE]: { schema } },
});
const text = (description: string) => ({ description, content: { "text/plain": { schema: { type: "string" } } } });

const REFUSALS = {
  "400": answer("Not JSON, or `Unknown action!!!`"),
  "413": answer("Larger than 1 MiB"),
  "415": answer("Content-Type is not application/json"),
  "422": answer("Well-formed and not valid: the message names the field"),
};

export function openApi(version: string) {
  const action = { oneOf: [AuthAction, LogAction, MailAction] };
  return {
    openapi: "3.1.0",
    info: {
      title: "Platform",
      version,
      description:
        "The one door of the platform. Every JSON answer is an envelope {error, message, data?}; every answer carries X-Request-Id.",
    },
    components: { schemas: { Envelope } },
    paths: {
      "/": {
        post: {
          summary: "Health",
          description: "Publishes the event `broker_hit`. A body is ignored.",
          responses: {
            "200": answer("`Hit the Broker`"),
            "503": answer("The event could be kept nowhere; Retry-After says when to try again"),
          },
        },
      },
      "/handle": {
        post: {
          summary: "Do one action, or a batch",
          description: `One action (auth, log, mail), or an array of up to ${BATCH_MAX} of them. X-Degraded and data.degraded say where something was done in another way than usual.`,
          requestBody: {
            required: true,
            content: {
              [JSON_TYPE]: {
                schema: {
                  oneOf: [...action.oneOf, { type: "array", items: action, minItems: 1, maxItems: BATCH_MAX }],
                },
                examples: { ...EXAMPLES, batch: { value: [EXAMPLES.log.value, EXAMPLES.mail.value] } },
              },
            },
          },
          responses: {
            "202": answer(
              "`Authenticated!` with the user and his tokens; `Logged via RPC: Processing succeeded`, or `Log entry queued`; `Message sent to <to>`, or `Message queued for <to>`",
            ),
            "207": answer("A batch: data has one outcome an action, in order", {
              type: "object",
              properties: {
                error: { type: "boolean" },
                message: { type: "string" },
                data: { type: "array", items: BatchItem },
              },
            }),
            "401": answer("`Invalid credentials!!!`"),
            ...REFUSALS,
            "429": answer("Too many requests: Retry-After says when to try again"),
            "502": answer("A service behind answered wrongly"),
            "503": answer("A service behind is away and nothing could take the request in its place"),
            "504": answer("A service behind is too slow"),
          },
        },
      },
      "/ping": { get: { summary: "Alive", responses: { "200": text("`OK`") } } },
      "/ready": {
        get: {
          summary: "Ready, and the state of each dependency",
          responses: { "200": answer("Ready"), "503": answer("Not ready: data.dependencies says why") },
        },
      },
      "/metrics": { get: { summary: "Prometheus metrics", responses: { "200": text("The exposition format") } } },
    },
  };
}
