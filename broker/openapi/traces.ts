/** The versioned API: the way of one request through the platform. */
import { TraceQuery } from "#contracts/traces";
import { answer, AT, BEHIND, NO_QUERY, path, query, ref, refusal } from "./parts.ts";

const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const ROOT = "00f067aa0ba902b7";

export const TRACES = {
  "/v1/traces": {
    get: {
      tags: ["Operators"],
      summary: "The last traces, newest first",
      description:
        "As the logger keeps them: bounded in number and age, and only those that were recorded (docs/tracing.md). All conditions that are given have to hold.",
      parameters: query(TraceQuery),
      responses: {
        "200": answer("A page of them", {
          schema: ref("TracePage"),
          example: {
            message: "traces, newest first",
            data: {
              items: [
                {
                  trace_id: TRACE_ID,
                  started_at: AT,
                  duration_ms: 12.5,
                  name: "POST /handle",
                  service: "broker",
                  services: ["auth", "broker"],
                  spans: 5,
                  error: false,
                },
              ],
            },
          },
        }),
        "422": refusal("A query parameter that is not known or not valid"),
        ...BEHIND,
      },
    },
  },
  "/v1/traces/{id}": {
    get: {
      tags: ["Operators"],
      summary: "One trace with all of its spans",
      description:
        "About two seconds after it ended. `whole`: every span has its parent here; `missing_parents` names those that are not. A parent that somebody outside has is not missed.",
      parameters: [
        path(
          "id",
          "The trace id, as in `traceparent` and `trace_id`",
          { type: "string", pattern: "^[0-9a-f]{32}$" },
          TRACE_ID,
        ),
      ],
      responses: {
        "200": answer("What is kept of it", {
          schema: ref("TraceDetail"),
          example: {
            message: "the trace is whole",
            data: {
              trace_id: TRACE_ID,
              started_at: AT,
              ended_at: AT,
              duration_ms: 12.5,
              services: ["broker"],
              error: false,
              whole: true,
              missing_parents: [],
              cut: false,
              spans: [
                {
                  span_id: ROOT,
                  name: "POST /handle",
                  kind: "server",
                  service: "broker",
                  started_at: AT,
                  offset_ms: 0,
                  duration_ms: 12.5,
                  attributes: {
                    "http.request.method": "POST",
                    "http.route": "/handle",
                    "http.response.status_code": 202,
                  },
                  events: [],
                  links: [],
                },
              ],
            },
          },
        }),
        "404": refusal("It was not recorded, is still on its way, or was removed since"),
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
};
