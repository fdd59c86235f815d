/** The versioned API: figures of the platform, the latest and over time. */
import { FIGURE_PARTS, FIGURES_EVERY_S, FiguresQuery } from "#contracts/figures";
import { answer, AT, NO_QUERY, path, query, ref, refusal } from "./parts.ts";

const SAMPLED = `Each instance of each service is asked every ${FIGURES_EVERY_S} s, by each broker for itself; what is kept is an hour, and begins anew with the broker.`;

export const FIGURES = {
  "/v1/platform/figures": {
    get: {
      tags: ["Health"],
      summary: "Rates, times and sizes of all parts and of the ways between them, as they are now",
      description: `${SAMPLED} null is what is not known: who would tell is away, or nothing has happened.`,
      responses: {
        "200": answer("All there is", {
          schema: ref("PlatformFigures"),
          example: {
            message: "the latest figures",
            data: {
              at: AT,
              interval_s: FIGURES_EVERY_S,
              parts: [
                {
                  name: "broker",
                  instances: 1,
                  answered: 1,
                  values: { "requests.all": 12.4, "requests.failed": 0, "latency.p95": 8.75, "cpu.used": 0.031 },
                },
              ],
              edges: [
                {
                  from: "broker",
                  to: "logger",
                  via: "rpc",
                  calls_per_s: 9.2,
                  failed_per_s: 0,
                  p95_ms: 2.3,
                  breaker: "closed",
                  up: true,
                },
              ],
              queues: [{ name: "logs.main.v1", role: "work", messages: 0, consumers: 2, in_hand: 0, held: 0 }],
            },
          },
        }),
        ...NO_QUERY,
      },
    },
  },
  "/v1/platform/figures/{part}": {
    get: {
      tags: ["Health"],
      summary: "The figures of one part over time, as charts",
      description: `${SAMPLED} A series has a value for each of \`at\`, null where there is none.`,
      parameters: [
        path("part", "A service, or what services use", { type: "string", enum: FIGURE_PARTS }, "auth"),
        ...query(FiguresQuery),
      ],
      responses: {
        "200": answer("Its charts; none of a part that nothing is known of", {
          schema: ref("FiguresOverTime"),
          example: {
            message: "figures of auth over the last 900 s",
            data: {
              interval_s: FIGURES_EVERY_S,
              at: [1_795_426_200, 1_795_426_205],
              charts: [
                {
                  key: "requests",
                  title: "Requests",
                  unit: "/s",
                  series: [
                    { name: "all", values: [null, 3.2] },
                    { name: "failed", values: [null, 0] },
                  ],
                },
              ],
            },
          },
        }),
        "404": refusal("No part has this name"),
        "422": refusal("A query parameter that is not known or not valid"),
      },
    },
  },
};
