/** The versioned API: following the log. */
import { TailItem } from "#contracts/log-tail";
import { AT, BEHIND, RECEIPT_ID, refusal } from "./parts.ts";

const PARAMETERS = [
  ["name", "Of this name; several times: one of them", "payment"],
  ["severity", "INFO, WARNING or ERROR; several times: one of them", "ERROR"],
  ["producer", "Numbered by this producer", "broker-01998f5e"],
  ["trace_id", "Of this trace", "4bf92f3577b34da6a3ce929d0e0e4736"],
  ["request_id", "Of this request", "request-17"],
  ["event_id", "With this id", RECEIPT_ID],
  ["q", "Words that all have to be in the name or the texts of the data, in any case", "card declined"],
  ["after", "The `id` of an event of this stream, or an RFC 3339 time: begins with what was stored since", AT],
] as const;

const item = {
  event_id: RECEIPT_ID,
  name: "payment",
  severity: "ERROR",
  data: { reason: "card declined" },
  created_at: AT,
  stored_at: AT,
};

export const TAIL = {
  "/v1/logs/tail": {
    get: {
      tags: ["Operators"],
      summary: "Entries as they are stored, as server-sent events",
      description:
        "Until the client goes. Events: `entry` (data: an entry), `dropped` (so many were left out for a slow client), `gap` (between these times some may be missing), `partial` and `whole` (whether all loggers are followed), `bye`. `Last-Event-ID` goes on where a connection was lost. Also `from`, `to` and `data.<path>` as filters.",
      parameters: [
        ...PARAMETERS.map(([name, description, example]) => ({
          name,
          in: "query",
          description,
          schema: { type: "string", minLength: 1 },
          example,
        })),
        {
          name: "Last-Event-ID",
          in: "header",
          description: "As `after`; sent by browsers that come back",
          schema: { type: "string" },
        },
      ],
      responses: {
        "200": {
          description: "The stream",
          content: {
            "text/event-stream": {
              schema: {
                type: "string",
                description: `Events; data of an entry has ${Object.keys(TailItem.properties).join(", ")}`,
              },
              example: `id: ${RECEIPT_ID}~a1b2c3d4e5-1f-mx2qv8zz\nevent: entry\ndata: ${JSON.stringify(item)}\n\n`,
            },
          },
        },
        "422": refusal("A filter or place that is not one"),
        ...BEHIND,
      },
    },
  },
};
