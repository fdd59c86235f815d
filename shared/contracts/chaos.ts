/** Breaking a platform that runs for development: `data` of `/v1/chaos` and what is below it. Owner: the controller in `dev/chaos`. */
import { type Static, Type } from "@sinclair/typebox";

/** What can happen to a part. */
export const CHAOS_FAULTS = ["kill", "crash_loop", "stop", "freeze", "slow", "cut", "blackhole", "trickle"] as const;
export const ChaosFault = Type.Union(CHAOS_FAULTS.map((fault) => Type.Literal(fault)));
export type ChaosFault = (typeof CHAOS_FAULTS)[number];

/** Longest that a fault lasts (s), and most requests a second. */
export const CHAOS_SECONDS_MAX = 60;
export const CHAOS_RATE_MAX = 200;
export const CHAOS_SECONDS = 5;
export const CHAOS_RATE = 20;

const PartName = Type.String({ minLength: 1, maxLength: 32, description: "A service or a backing service" });
const Moment = Type.String({ description: "RFC 3339" });
const Count = Type.Integer({ minimum: 0 });
const Ms = Type.Integer({ minimum: 0, description: "ms" });

export const ChaosPart = Type.Object({
  name: PartName,
  state: Type.String({ description: "What its supervisor thinks: running, restarting, stopped, starting, given up" }),
  offers: Type.Array(Type.Object({ fault: ChaosFault, about: Type.String() })),
  refuses: Type.Array(Type.Object({ fault: ChaosFault, why: Type.String() })),
});
export type ChaosPart = Static<typeof ChaosPart>;

export const ChaosCounters = Type.Object({
  calls: Count,
  accepted: Type.Integer({ minimum: 0, description: "Things that the platform said yes to: none may be lost" }),
  degraded: Type.Integer({ minimum: 0, description: "Of these, accepted in another way than usual" }),
  logins: Count,
  refused: Type.Integer({ minimum: 0, description: "Answered with another status than 200 and 202" }),
  unanswered: Count,
});
export type ChaosCounters = Static<typeof ChaosCounters>;

export const ChaosNames = Type.Object({
  count: Count,
  ids: Type.Array(Type.String(), { description: "The first 100" }),
});
export type ChaosNames = Static<typeof ChaosNames>;

/** accepted = stored + delivered + dead_lettered + unrouted + queued + spooled + ambiguous + failed + lost */
export const ChaosVerdict = Type.Object({
  accepted: Count,
  stored: Type.Integer({ minimum: 0, description: "Entries in MongoDB" }),
  delivered: Type.Integer({ minimum: 0, description: "Mails in the inbox" }),
  dead_lettered: Count,
  unrouted: Count,
  queued: Count,
  spooled: Count,
  ambiguous: Type.Integer({ minimum: 0, description: "Mails of which nobody can tell whether they arrived" }),
  failed: Type.Integer({ minimum: 0, description: "Mails that were given up, and say so" }),
  lost: ChaosNames,
  twice: ChaosNames,
  altered: ChaosNames,
  back_ms: Type.Optional(Ms),
  heal_ms: Type.Optional(Ms),
  drain_ms: Type.Optional(Ms),
  refused: Type.Record(Type.String(), Count, { description: "By status; `none` for no answer" }),
  dishonest: Type.Array(Type.String(), { description: "Answers that nobody should get, and receipts that are wrong" }),
});
export type ChaosVerdict = Static<typeof ChaosVerdict>;

const Outcome = Type.Union([Type.Literal("finished"), Type.Literal("stopped"), Type.Literal("failed")]);

export const ChaosResult = Type.Object({
  fault: ChaosFault,
  part: PartName,
  fault_s: Type.Number({ minimum: 0 }),
  outcome: Outcome,
  error: Type.Optional(Type.String()),
  started_at: Moment,
  counters: ChaosCounters,
  verdict: Type.Optional(ChaosVerdict),
});
export type ChaosResult = Static<typeof ChaosResult>;

export const ChaosSample = Type.Object({
  t: Type.Integer({ minimum: 0, description: "Whole seconds since the beginning" }),
  accepted: Type.Integer({ minimum: 0, description: "Answers with 200 or 202" }),
  refused: Type.Integer({ minimum: 0, description: "Others, and none" }),
  p95_ms: Type.Union([Type.Number(), Type.Null()], { description: "null: no answer came in this second" }),
});
export type ChaosSample = Static<typeof ChaosSample>;

export const CHAOS_PHASES = ["load", "fault", "healing", "draining", "counting"] as const;
export type ChaosPhase = (typeof CHAOS_PHASES)[number];

/** One that runs, or the last one that ran. */
export const ChaosExperiment = Type.Object({
  id: Type.String(),
  suite: Type.Boolean(),
  fault: ChaosFault,
  part: PartName,
  phase: Type.Union(CHAOS_PHASES.map((phase) => Type.Literal(phase))),
  says: Type.String({ description: "What goes on, in a sentence" }),
  step: Type.Object({ number: Type.Integer({ minimum: 1 }), of: Type.Integer({ minimum: 1 }) }),
  counters: ChaosCounters,
  samples: Type.Array(ChaosSample, { description: "The last 600 seconds" }),
  results: Type.Array(ChaosResult),
  started_at: Moment,
  ended_at: Type.Optional(Moment),
});
export type ChaosExperiment = Static<typeof ChaosExperiment>;

const SummaryFields = {
  id: Type.String(),
  title: Type.String(),
  outcome: Outcome,
  started_at: Moment,
  took_ms: Ms,
};
export const ChaosReportSummary = Type.Object({
  ...SummaryFields,
  accepted: Count,
  lost: Count,
  twice: Count,
});
export type ChaosReportSummary = Static<typeof ChaosReportSummary>;

export const ChaosReport = Type.Object({
  ...SummaryFields,
  error: Type.Optional(Type.String()),
  verdict: Type.Optional(ChaosVerdict),
  results: Type.Array(ChaosResult),
  seed: Type.Integer(),
  rate: Type.Integer(),
  machine: Type.Object({ platform: Type.String(), cores: Type.Integer(), memory_mib: Type.Integer() }),
  versions: Type.Object({
    platform: Type.String(),
    bun: Type.String(),
    backing: Type.Record(Type.String(), Type.String()),
  }),
  how: Type.Array(Type.String(), { description: "How it was counted" }),
});
export type ChaosReport = Static<typeof ChaosReport>;

export const ChaosOverview = Type.Object({
  parts: Type.Array(ChaosPart),
  suite: Type.Object({
    steps: Type.Array(Type.Object({ fault: ChaosFault, part: PartName })),
    longest_s: Type.Integer({ description: "On a machine that is not busy with anything else" }),
  }),
  defaults: Type.Object({ seconds: Type.Integer(), rate: Type.Integer() }),
  notes: Type.Array(Type.String(), { description: "What is other here than usual" }),
  running: Type.Union([ChaosExperiment, Type.Null()]),
  reports: Type.Array(ChaosReportSummary, { description: "Newest first, at most 50" }),
});
export type ChaosOverview = Static<typeof ChaosOverview>;

const Rate = Type.Integer({
  minimum: 1,
  maximum: CHAOS_RATE_MAX,
  description: `an integer from 1 to ${CHAOS_RATE_MAX}: requests a second (default ${CHAOS_RATE})`,
});

/** One fault, or with `suite: true` all of the suite. */
export const ChaosRequest = Type.Object({
  suite: Type.Optional(Type.Boolean({ description: "true: all of the suite; without `fault`, `part` and `seconds`" })),
  fault: Type.Optional(ChaosFault),
  part: Type.Optional(PartName),
  seconds: Type.Optional(
    Type.Number({
      minimum: 1,
      maximum: CHAOS_SECONDS_MAX,
      description: `a number from 1 to ${CHAOS_SECONDS_MAX}: how long the fault lasts (s, default ${CHAOS_SECONDS})`,
    }),
  ),
  rate: Type.Optional(Rate),
});
export type ChaosRequest = Static<typeof ChaosRequest>;

export const ChaosNothing = Type.Object({});
export const ChaosReportQuery = Type.Object({
  format: Type.Optional(
    Type.Union([Type.Literal("json"), Type.Literal("markdown")], {
      description: "`json` or `markdown`",
      default: "json",
    }),
  ),
});
/** As the controller gives it to the broker. */
export const ChaosReportText = Type.Object({ markdown: Type.String() });
