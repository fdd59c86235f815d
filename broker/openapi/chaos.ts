/** The versioned API: breaking a platform that runs for development. */
import { ChaosReportQuery } from "#contracts/chaos";
import { answer, AT, BEHIND, body, BODY_REFUSALS, NO_QUERY, path, query, ref, refusal } from "./parts.ts";

const ID = "01998f5e-7c10-7a00-8b3c-3f5e9d2a4c11";
const DEVELOPMENT =
  "Only where `bun run up` has started the platform for development: else 404. Production refuses to be given a controller.";
const COUNTERS = { calls: 84, accepted: 80, degraded: 31, logins: 4, refused: 0, unanswered: 0 };
const NONE = { count: 0, ids: [] };
const VERDICT = {
  accepted: 140,
  stored: 104,
  delivered: 36,
  dead_lettered: 0,
  unrouted: 0,
  queued: 0,
  spooled: 0,
  ambiguous: 0,
  failed: 0,
  lost: NONE,
  twice: NONE,
  altered: NONE,
  back_ms: 410,
  heal_ms: 1_320,
  drain_ms: 240,
  refused: {},
  dishonest: [],
};
const EXPERIMENT = {
  id: ID,
  suite: false,
  fault: "kill",
  part: "logger",
  phase: "fault",
  says: "logger: killed, for 5 s",
  step: { number: 1, of: 1 },
  counters: COUNTERS,
  samples: [{ t: 0, accepted: 19, refused: 0, p95_ms: 14 }],
  results: [],
  started_at: AT,
};
const RESULT = {
  fault: "kill",
  part: "logger",
  fault_s: 5,
  outcome: "finished",
  started_at: AT,
  counters: COUNTERS,
  verdict: VERDICT,
};
const id = (of: string) => path("id", `Of ${of}`, { type: "string", minLength: 1 }, ID);
const experiment = (description: string) =>
  answer(description, { schema: ref("ChaosExperiment"), example: { message: "the experiment", data: EXPERIMENT } });
const NO_CONTROLLER = refusal("This platform can't be broken from here, or there is none with this id");

export const CHAOS = {
  "/v1/chaos": {
    get: {
      tags: ["Chaos"],
      summary: "What can be broken, what is being broken, and what came of it before",
      description: DEVELOPMENT,
      responses: {
        "200": answer("Parts, faults and reports", {
          schema: ref("ChaosOverview"),
          example: {
            message: "the experiment",
            data: {
              parts: [
                {
                  name: "logger",
                  state: "running",
                  offers: [{ fault: "kill", about: "kill -9, and it stays away" }],
                  refuses: [],
                },
              ],
              suite: { steps: [{ fault: "kill", part: "logger" }], longest_s: 300 },
              defaults: { seconds: 5, rate: 20 },
              notes: [],
              running: null,
              reports: [],
            },
          },
        }),
        "404": NO_CONTROLLER,
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
  "/v1/chaos/experiments": {
    post: {
      tags: ["Chaos"],
      summary: "Break a part while requests go on, heal it, and count",
      description: `${DEVELOPMENT} One at a time. It goes on by itself to the verdict, whoever looks.`,
      requestBody: body(ref("ChaosRequest"), {
        one: { fault: "kill", part: "logger", seconds: 5, rate: 20 },
        suite: { suite: true },
      }),
      responses: {
        "202": experiment("It has begun"),
        "404": NO_CONTROLLER,
        "409": refusal("One is under way"),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
  "/v1/chaos/experiments/{id}": {
    get: {
      tags: ["Chaos"],
      summary: "The experiment that runs, or the last one",
      description: DEVELOPMENT,
      parameters: [id("the experiment")],
      responses: { "200": experiment("As it is now"), "404": NO_CONTROLLER, ...NO_QUERY, ...BEHIND },
    },
    delete: {
      tags: ["Chaos"],
      summary: "Stop it: heal, count what there is, begin nothing further",
      description: DEVELOPMENT,
      parameters: [id("the experiment")],
      responses: { "200": experiment("It stops"), "404": NO_CONTROLLER, ...NO_QUERY, ...BEHIND },
    },
  },
  "/v1/chaos/experiments/{id}/heal": {
    post: {
      tags: ["Chaos"],
      summary: "End the fault now; the rest goes on",
      description: DEVELOPMENT,
      parameters: [id("the experiment")],
      requestBody: body({ type: "object", additionalProperties: false }, { now: {} }),
      responses: {
        "200": experiment("It heals"),
        "404": NO_CONTROLLER,
        "409": refusal("No fault is under way"),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
  "/v1/chaos/reports/{id}": {
    get: {
      tags: ["Chaos"],
      summary: "A report: the verdict, and how it was come to",
      description: `${DEVELOPMENT} The newest 50 are kept in the data directory.`,
      parameters: [id("the experiment"), ...query(ChaosReportQuery)],
      responses: {
        "200": answer("As JSON; `format=markdown` gives `text/markdown`", {
          schema: ref("ChaosReport"),
          example: {
            message: "the experiment",
            data: {
              id: ID,
              title: "kill of logger",
              outcome: "finished",
              started_at: AT,
              took_ms: 11_400,
              verdict: VERDICT,
              results: [RESULT],
              seed: 417_002,
              rate: 20,
              machine: { platform: "linux 6.1 x64", cores: 2, memory_mib: 7_900 },
              versions: { platform: "0.1.0", bun: "1.4.5", backing: { mongodb: "FerretDB 1.24" } },
              how: ["Sets of names are compared."],
            },
          },
        }),
        "404": NO_CONTROLLER,
        "422": refusal("A query parameter that is not known or not valid"),
        ...BEHIND,
      },
    },
  },
};
