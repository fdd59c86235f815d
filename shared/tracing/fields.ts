/**
 * Tracing in the configuration: the variables as OpenTelemetry defines them
 * (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/), where they are of use here.
 */
import { choice, type Field, integer, optional, Secret, text, url, type Values } from "#shared/config";

export const SAMPLERS = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
  "parentbased_ratelimited",
] as const;
export type SamplerName = (typeof SAMPLERS)[number];

/** Traces a second that are recorded of those that begin in one process, unless it is said otherwise. */
export const DEFAULT_RATE = 50;
export const MAX_RATE = 1_000_000;

const MAX_ATTRIBUTES = 64;

/** `key=value,…` with values percent-encoded, as W3C Baggage has it; undefined for anything else. */
export function pairsOf(value: string): Record<string, string> | undefined {
  const pairs: [string, string][] = [];
  for (const part of value.split(",")) {
    const [, key, encoded] = /^\s*([\w.*/-]{1,128})\s*=\s*([\x21-\x7e]*)\s*$/.exec(part) ?? [];
    if (key === undefined || encoded === undefined || encoded.includes(";")) return undefined;
    try {
      pairs.push([key, decodeURIComponent(encoded)]);
    } catch {
      return undefined;
    }
  }
  return pairs.length > MAX_ATTRIBUTES ? undefined : Object.fromEntries(pairs);
}

const PAIRS = `1 to ${MAX_ATTRIBUTES} key=value, comma-separated, the values percent-encoded`;

/** Headers go out as they are: nothing in them may end one. */
const HEADER_VALUE = /^[\x20-\x7e]*$/;
const HEADER_NAME = /^[\w.*-]+$/;

const headersField: Field<Secret | undefined> = {
  about: "Headers that the collector wants with each request, such as its key",
  allowed: `${PAIRS}: names and values that can be headers`,
  default: undefined,
  required: false,
  secret: true,
  parse: (value) => {
    const isGood = Object.entries(pairsOf(value) ?? { "": "" }).every(
      ([name, text]) => HEADER_NAME.test(name) && HEADER_VALUE.test(text),
    );
    return isGood ? new Secret(value) : undefined;
  },
};

const disabledField: Field<boolean> = {
  about: "true: no spans at all, neither for a collector nor for the platform's own store; ids still travel",
  allowed: "true or false",
  default: "false",
  required: false,
  secret: false,
  parse: (value) => (/^(true|false)$/i.test(value) ? value.toLowerCase() === "true" : undefined),
};

const argumentField: Field<number | undefined> = {
  about: `For ratelimited: traces a second that may begin in one process (default ${DEFAULT_RATE}); for traceidratio: the part of all, 0 to 1 (default 1)`,
  allowed: `a number from 0 to ${MAX_RATE}`,
  default: undefined,
  required: false,
  secret: false,
  parse: (value) => {
    const number = /^\d{1,7}(\.\d{1,9})?$/.test(value) ? Number(value) : Number.NaN;
    return number <= MAX_RATE ? number : undefined;
  },
};

const resourceField: Field<Readonly<Record<string, string>> | undefined> = {
  about: "What is said of this service with its spans, such as deployment.environment.name=staging",
  allowed: PAIRS,
  default: undefined,
  required: false,
  secret: false,
  parse: pairsOf,
};

const MINUTES_MS = 600_000;

/** Of every service. */
export const tracingFields = {
  OTEL_SDK_DISABLED: disabledField,
  OTEL_TRACES_EXPORTER: optional(
    choice(
      "Where spans go besides the platform's own store. Default: otlp where an endpoint is given, else none",
      "none",
      ["otlp", "none"],
    ),
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(
    url(
      "A collector that takes OTLP/HTTP: spans go to /v1/traces below it; http://localhost:4318 where otlp is asked for",
      "",
      ["http", "https"],
    ),
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: optional(
    url("The same for spans alone, as it is: nothing is added to it", "", ["http", "https"]),
  ),
  OTEL_EXPORTER_OTLP_HEADERS: headersField,
  OTEL_EXPORTER_OTLP_PROTOCOL: choice("How spans are written for the collector", "http/protobuf", [
    "http/protobuf",
    "http/json",
  ]),
  OTEL_EXPORTER_OTLP_TIMEOUT: integer("Longest that one request to the collector may take (ms)", 10_000, {
    min: 1,
    max: MINUTES_MS,
  }),
  OTEL_TRACES_SAMPLER: choice<SamplerName>("Which traces are recorded", "parentbased_ratelimited", SAMPLERS),
  OTEL_TRACES_SAMPLER_ARG: argumentField,
  OTEL_SERVICE_NAME: optional(
    text(
      "Name of this service in its spans. Default: broker, auth, logger, mail, listener",
      "",
      /^[\x20-\x7e]{1,64}$/,
      "1 to 64 printable characters",
    ),
  ),
  OTEL_RESOURCE_ATTRIBUTES: resourceField,
  OTEL_BSP_SCHEDULE_DELAY: integer("Longest that a span waits for others to go to the collector with (ms)", 5_000, {
    min: 1,
    max: MINUTES_MS,
  }),
  OTEL_BSP_EXPORT_TIMEOUT: integer(
    "Longest that spans are tried to be sent to the collector, with all tries (ms)",
    30_000,
    {
      min: 1,
      max: MINUTES_MS,
    },
  ),
  OTEL_BSP_MAX_QUEUE_SIZE: integer("Spans that may wait for the collector; more are dropped, and counted", 2_048, {
    min: 1,
    max: 1_000_000,
  }),
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: integer("Spans that go to the collector at a time", 512, { min: 1, max: 100_000 }),
};

/** Of every service but the one that keeps traces. */
export const tracesUrlField = {
  TRACES_URL: {
    ...url("The logger, which keeps the last traces; off: they are kept nowhere", "http://localhost:8082", [
      "http",
      "https",
    ]),
    allowed: "a URL that begins with http:// or https://, without user and password, or off",
    parse: (value: string) => (value === "off" ? ("off" as const) : url("", "", ["http", "https"]).parse(value)),
  } satisfies Field<string>,
};

export type TracingValues = Values<typeof tracingFields> & {
  readonly TRACES_URL?: string;
  readonly SERVICE_KEY?: Secret | undefined;
};

/** What is wrong with values that are right each by itself. */
export function tracingProblemsOf(values: Partial<TracingValues>): string[] {
  const {
    OTEL_TRACES_SAMPLER: sampler,
    OTEL_TRACES_SAMPLER_ARG: argument = 0,
    OTEL_BSP_MAX_QUEUE_SIZE: queue = Number.POSITIVE_INFINITY,
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: batch = 0,
  } = values;
  return [
    ...(sampler?.endsWith("traceidratio") === true && argument > 1
      ? [`OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1 for ${sampler}`]
      : []),
    ...(batch > queue ? ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be at most OTEL_BSP_MAX_QUEUE_SIZE"] : []),
  ];
}
