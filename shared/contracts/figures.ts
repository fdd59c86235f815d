/** Rates, times and sizes of the platform: `data` of `GET /v1/platform/figures` and of `…/figures/:part`. Owner: the broker. */
import { type Static, Type } from "@sinclair/typebox";
import { QueueView } from "./dead-letters.ts";

/** How often everything is looked at, and how long that is kept (s). */
export const FIGURES_EVERY_S = 5;
export const FIGURES_KEPT_S = 3_600;

export const FIGURE_SERVICES = ["broker", "auth", "logger", "mail", "listener"] as const;
/** What services use, as far as they tell. */
export const FIGURE_BACKING = ["rabbitmq", "postgres", "mongodb", "smtp", "redis"] as const;
/** All that there is a page of. */
export const FIGURE_PARTS = [...FIGURE_SERVICES, ...FIGURE_BACKING] as const;
export type FigurePart = (typeof FIGURE_PARTS)[number];

const measured = (description: string) => Type.Union([Type.Number(), Type.Null()], { description });
const Value = measured("null: not known, since who would tell was away, or nothing happened that has a time");

export const FigureSeries = Type.Object({
  name: Type.String({ description: "Unique in its chart, `p95` or `logs.main.v1`" }),
  values: Type.Array(Value, { description: "One for each of `at`" }),
});
export type FigureSeries = Static<typeof FigureSeries>;

export const FigureChart = Type.Object({
  key: Type.String({ description: "Unique in its part" }),
  title: Type.String(),
  unit: Type.String({ description: "`/s`, `ms`, `s`, `MiB`, `cores`, `%`, or empty for a number of things" }),
  series: Type.Array(FigureSeries),
});
export type FigureChart = Static<typeof FigureChart>;

/** Of one part, oldest first. */
export const FiguresOverTime = Type.Object({
  interval_s: Type.Integer({ description: "How often it is looked at; between two of `at` there may be more" }),
  at: Type.Array(Type.Integer(), { description: "Seconds since 1970" }),
  charts: Type.Array(FigureChart),
});
export type FiguresOverTime = Static<typeof FiguresOverTime>;

export const FiguresQuery = Type.Object({
  window_s: Type.Optional(
    Type.Integer({
      minimum: 60,
      maximum: FIGURES_KEPT_S,
      default: 900,
      description: `an integer from 60 to ${FIGURES_KEPT_S}: how many seconds back`,
    }),
  ),
});
export const FIGURES_WINDOW_S = 900;

/** The latest of one part. */
export const PartFigures = Type.Object({
  name: Type.String(),
  instances: Type.Integer({ description: "That are known; 0 for a backing service" }),
  answered: Type.Integer({ description: "Of these, those that told their figures" }),
  values: Type.Record(Type.String(), Value, {
    description: "By `<chart>.<series>`, as they are called over time: `requests.all`, `latency.p95`",
  }),
});
export type PartFigures = Static<typeof PartFigures>;

/** The way from one part to another, as the first of them tells. */
export const EdgeFigures = Type.Object({
  from: Type.String({ description: "`clients`: whoever asks the broker" }),
  to: Type.String(),
  via: Type.Union(
    ["http", "rpc", "amqp", "sql", "mongodb", "smtp", "redis"].map((via) => Type.Literal(via)),
    { description: "`amqp`: what is published, or for the listener what is consumed" },
  ),
  calls_per_s: measured("Calls, messages, mails or units of work a second"),
  failed_per_s: measured("Of these, those that were not answered, or with a fault of the other part"),
  p95_ms: measured("Of 100 calls 95 took no longer; null without any"),
  breaker: Type.Union([Type.Literal("closed"), Type.Literal("half-open"), Type.Literal("open"), Type.Null()], {
    description: "The worst of the circuit breakers on this way; null where there is none",
  }),
  up: Type.Union([Type.Boolean(), Type.Null()], { description: "Whether the other part answers, as this one sees it" }),
});
export type EdgeFigures = Static<typeof EdgeFigures>;

export const PlatformFigures = Type.Object({
  at: Type.Union([Type.String(), Type.Null()], { description: "RFC 3339; null before the first look" }),
  interval_s: Type.Integer(),
  parts: Type.Array(PartFigures),
  edges: Type.Array(EdgeFigures),
  queues: Type.Array(QueueView, { description: "Of RabbitMQ; empty while nobody can tell" }),
});
export type PlatformFigures = Static<typeof PlatformFigures>;
