/** The versioned API: asking for log entries. */
import { ExportQuery, HistogramQuery, LogsQuery } from "../v1/logs.ts";
import { answer, AT, BEHIND, path, query, RECEIPT_ID, ref, refusal } from "./parts.ts";

const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const ENTRY = {
  event_id: RECEIPT_ID,
  name: "order",
  severity: "INFO",
  data: { user: { id: 42 }, text: "card declined" },
  created_at: AT,
  stored_at: AT,
  source: "rpc",
  request_id: RECEIPT_ID,
  trace_id: TRACE_ID,
  producer: { id: "broker-01998f5e", sequence: 17 },
};
const HOW =
  "All conditions that are given have to hold; of several names or severities one. `data.<path>=` is for a field of the data: `data.user.id=42`; a number, true, false, null or text in quotes means itself, everything else is text. `q` is for whole words, in the name or the texts of the data, in any case.";
const INVALID = { "422": refusal("A query parameter that is not known or not valid") };

export const LOGS = {
  "/v1/logs": {
    get: {
      tags: ["Logs"],
      summary: "Log entries, newest first",
      description: `${HOW} A page may have fewer entries than \`limit\`, none even, and still a \`next_cursor\`, where looking took long: go on with it. By a cursor no entry comes twice, and none is left out, while new ones arrive. \`text\` says how words were looked for.`,
      parameters: query(LogsQuery),
      responses: {
        "200": answer("A page of them", {
          schema: ref("LogPage"),
          example: {
            message: "Log entries, newest first",
            data: { items: [ENTRY], next_cursor: "WyJmIiwxNzk1NDI5ODAwMDAwLCIwMTk5OGY1ZSJd", text: "index" },
          },
        }),
        ...INVALID,
        ...BEHIND,
      },
    },
  },
  "/v1/logs/histogram": {
    get: {
      tags: ["Logs"],
      summary: "How many log entries there are over time, by severity and name",
      description: `${HOW} Without \`from\` the day before \`to\`, without \`to\` until now; without \`interval\` about 60 buckets. The ten most frequent names have counts of their own, in the order of \`names\`; \`others\` are all further ones.`,
      parameters: query(HistogramQuery),
      responses: {
        "200": answer("Counts", {
          schema: ref("LogHistogram"),
          example: {
            message: "Log entries over time",
            data: {
              from: "2026-11-23T09:00:00.000Z",
              to: "2026-11-23T10:00:00.000Z",
              interval_ms: 3_600_000,
              total: 3,
              names: ["order", "payment"],
              buckets: [
                {
                  at: "2026-11-23T09:00:00.000Z",
                  total: 3,
                  severities: { INFO: 2, ERROR: 1 },
                  names: [2, 1],
                  others: 0,
                },
              ],
            },
          },
        }),
        ...INVALID,
        ...BEHIND,
      },
    },
  },
  "/v1/logs/export": {
    get: {
      tags: ["Logs"],
      summary: "All log entries that are asked for, as NDJSON",
      description: `${HOW} A line of JSON for each entry, newest first, at the pace of whoever reads. The last line has the one key \`$export\`, which no entry has: \`{"$export":{"complete":true,"entries":17}}\`, or \`complete\` false and \`error\`. Without it the export was cut off. It ends with the credential, and where nothing is taken of it for 30 s. A few at a time: 429 beyond.`,
      parameters: query(ExportQuery),
      responses: {
        "200": {
          description: "Lines",
          content: {
            "application/x-ndjson": {
              schema: { type: "string" },
              example: `${JSON.stringify(ENTRY)}\n{"$export":{"complete":true,"entries":1}}\n`,
            },
          },
        },
        ...INVALID,
        ...BEHIND,
      },
    },
  },
  "/v1/logs/{id}": {
    get: {
      tags: ["Logs"],
      summary: "One log entry",
      parameters: [path("id", "Its `event_id`", { type: "string", minLength: 1, maxLength: 128 }, RECEIPT_ID)],
      responses: {
        "200": answer("The entry", { schema: ref("LogItem"), example: { message: "The log entry", data: ENTRY } }),
        "404": refusal("No entry has this event_id"),
        ...INVALID,
        ...BEHIND,
      },
    },
  },
};
