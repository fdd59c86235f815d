/** The versioned API: entries by the many, by REST and by OTLP; the audit trail. */
import { LOG_BATCH_MAX } from "#contracts/logs";
import {
  ACCEPTED_HEADERS,
  answer,
  AT,
  BEHIND,
  body,
  BODY_REFUSALS,
  IDEMPOTENCY_KEY,
  NO_QUERY,
  RECEIPT_ID,
  RECEIVED,
  ref,
  refusal,
} from "./parts.ts";

const ENTRY = { name: "order.placed", data: { order: 17, total: 12.5 }, severity: "INFO" };
const LATER = "Logger, RabbitMQ and this broker's disk could not take it: nothing was accepted";

const REST = {
  "/v1/logs": {
    post: {
      tags: ["Actions"],
      summary: "Log an entry, or several",
      description: `One entry, or up to ${LOG_BATCH_MAX.toLocaleString("en")} as a list or as \`{"entries": […]}\`. A 202 means durable: \`data.receipt_id\`, and Location, tell where to ask what became of it. Of several each has an outcome of its own, in order: one that is refused refuses none of the others.`,
      parameters: [IDEMPOTENCY_KEY],
      requestBody: body(
        {
          anyOf: [
            ref("LogRequest"),
            ref("LogEntriesRequest"),
            { type: "array", items: ref("LogRequest"), minItems: 1, maxItems: LOG_BATCH_MAX },
          ],
        },
        { one: ENTRY, several: { entries: [ENTRY, { name: "order.failed", data: "text", severity: "ERROR" }] } },
      ),
      responses: {
        "202": answer(
          "`Logged via RPC: Processing succeeded`, or `Log entry queued`",
          {
            schema: RECEIVED,
            example: {
              message: "Log entry queued",
              data: { receipt_id: RECEIPT_ID, degraded: { logger: "queued" } },
            },
          },
          ACCEPTED_HEADERS,
        ),
        "207": answer(
          "Several: data has one outcome an entry, in order",
          { schema: { type: "array", items: ref("BatchItem") } },
          ["X-Degraded", "Idempotent-Replayed"],
        ),
        "409": refusal("The same Idempotency-Key is under way", "Retry-After"),
        ...BODY_REFUSALS,
        ...BEHIND,
        "503": refusal(LATER, "Retry-After", "X-Overloaded"),
      },
    },
  },
};

const STATUS = {
  type: "object",
  properties: { message: { type: "string" } },
  description: "google.rpc.Status, of the request's own type",
};
const PROTOBUF = { schema: { type: "string", contentMediaType: "application/x-protobuf" } };
/** OTLP has no envelope. */
const otlp = (description: string, schema: object = STATUS) => ({
  description,
  headers: refusal("").headers,
  content: { "application/json": { schema }, "application/x-protobuf": PROTOBUF },
});
const otlpRefusal = (description: string) => ({
  ...otlp(description),
  headers: refusal("", "WWW-Authenticate").headers,
});
const otlpLater = (description: string) => ({ ...otlp(description), headers: refusal("", "Retry-After").headers });

const OTLP = {
  "/otlp/v1/logs": {
    post: {
      tags: ["Actions"],
      summary: "Logs of OpenTelemetry (OTLP/HTTP)",
      description:
        "An ExportLogsServiceRequest in JSON or in Protocol Buffers, also compressed by gzip (1 MiB, 4 MiB once it is inflated, 10,000 log records). Each record becomes an entry, and refuses itself only; sent again by the same caller it is stored once. Any exporter of OpenTelemetry sends to it: `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`.",
      requestBody: {
        required: true,
        content: {
          "application/json": {
            schema: { type: "object", properties: { resourceLogs: { type: "array", items: { type: "object" } } } },
            examples: {
              one: {
                value: {
                  resourceLogs: [
                    {
                      resource: { attributes: [{ key: "service.name", value: { stringValue: "shop" } }] },
                      scopeLogs: [
                        {
                          logRecords: [
                            {
                              timeUnixNano: "1544712660300000000",
                              severityNumber: 17,
                              body: { stringValue: "the order failed" },
                              traceId: "5b8efff798038103d269b633813fc60c",
                            },
                          ],
                        },
                      ],
                    },
                  ],
                },
              },
            },
          },
          "application/x-protobuf": PROTOBUF,
        },
      },
      responses: {
        "200": otlp("An ExportLogsServiceResponse: `partialSuccess` where records were refused, with the reasons", {
          type: "object",
          properties: { partialSuccess: { type: "object" } },
        }),
        "400": otlp("It cannot be decoded: sending it again changes nothing"),
        "401": otlpRefusal("No credential, or one that is not valid (any more)"),
        "403": otlpRefusal("The credential does not have the scope"),
        "413": otlp("Too large, or more than 10,000 log records: send smaller batches"),
        "415": otlp("Another Content-Type or Content-Encoding"),
        "429": otlpLater("Too many requests: send it again later"),
        "502": otlpLater("A service behind answered wrongly: send it again later"),
        "503": otlpLater("Not all of it could be kept: send it again later"),
        "504": otlpLater("A service behind is too slow: send it again later"),
      },
    },
  },
};

const AUDIT = {
  "/v1/logs/audit": {
    get: {
      tags: ["Operators"],
      summary: "The audit trail: whether an entry named `audit` was changed, removed or added",
      description:
        "Verifies all of it, and answers after a few seconds with how far it is where there is much: ask again until `state` is `done`. `logger audit verify` does the same at the terminal.",
      responses: {
        "200": answer("What was found", {
          schema: ref("AuditReport"),
          example: {
            message: "the audit trail is broken in 1 places",
            data: {
              state: "done",
              intact: false,
              chains: 2,
              entries: 1_204,
              unsealed: 0,
              older: 0,
              breaks: 1,
              items: [{ chain: 2, from: 17, to: 18, what: "they are gone" }],
              heads: [{ chain: 2, sequence: 204, mac: "c7YMCI_x6lNCCcQ_5GlXcw" }],
              started_at: AT,
              finished_at: AT,
            },
          },
        }),
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
};

export const INTAKE = { ...REST, ...OTLP, ...AUDIT };
