/** What tracing needs to know, as plain values: they are handed to worker threads, which read no environment. */
import { hostname } from "node:os";
import { SERVICE_KEY_HEADER } from "#contracts/headers";
import { DEFAULT_RATE, pairsOf, type SamplerName, type TracingValues } from "./fields.ts";

export interface SamplerSettings {
  readonly name: SamplerName;
  /** Traces a second, or the part of all. */
  readonly argument: number;
}

/** Where spans go, and how. Times in milliseconds. */
export interface DestinationSettings {
  /** Label of its metrics. */
  readonly name: "collector" | "platform";
  readonly url: string;
  /** Secrets among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly encoding: "protobuf" | "json";
  readonly batch: BatchSettings;
}

export interface BatchSettings {
  /** Spans that may wait. */
  readonly queueSpans: number;
  /** Spans that go at a time. */
  readonly batchSpans: number;
  /** Longest that one waits for others. */
  readonly delayMs: number;
  /** Longest that one request takes. */
  readonly requestMs: number;
  /** Longest that all tries of a batch take. */
  readonly exportMs: number;
}

export interface TracingSettings {
  readonly resource: Readonly<Record<string, string>>;
  readonly version: string;
  readonly sampler: SamplerSettings;
  readonly destinations: readonly DestinationSettings[];
}

const DEFAULT_ENDPOINT = "http://localhost:4318";
/** Where the logger takes spans. */
export const TRACES_PATH = "/otlp/v1/traces";

/** For the platform's own store: a trace can be looked at 2 s after its end. */
export const PLATFORM_BATCH: BatchSettings = {
  queueSpans: 4_096,
  batchSpans: 256,
  delayMs: 1_000,
  requestMs: 3_000,
  exportMs: 10_000,
};

/** @returns undefined where no spans are made: switched off, or a service without these variables. */
export function tracingOf(
  service: string,
  version: string,
  values: Partial<TracingValues>,
): TracingSettings | undefined {
  if (values.OTEL_TRACES_SAMPLER === undefined || values.OTEL_SDK_DISABLED === true) return undefined;
  const name = values.OTEL_TRACES_SAMPLER;
  return {
    resource: {
      "service.name": service,
      "service.namespace": "platform",
      "service.version": version,
      "service.instance.id": `${hostname()}:${process.pid}`,
      ...values.OTEL_RESOURCE_ATTRIBUTES,
      ...(values.OTEL_SERVICE_NAME === undefined ? {} : { "service.name": values.OTEL_SERVICE_NAME }),
    },
    version,
    sampler: {
      name,
      argument: values.OTEL_TRACES_SAMPLER_ARG ?? (name.endsWith("traceidratio") ? 1 : DEFAULT_RATE),
    },
    destinations: [...collectorOf(values as TracingValues), ...platformOf(values)],
  };
}

function collectorOf(values: TracingValues): DestinationSettings[] {
  const {
    OTEL_TRACES_EXPORTER: exporter,
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: tracesEndpoint,
  } = values;
  const isWanted = exporter === undefined ? (endpoint ?? tracesEndpoint) !== undefined : exporter === "otlp";
  if (!isWanted) return [];
  return [
    {
      name: "collector",
      url: tracesEndpoint ?? `${endpoint ?? DEFAULT_ENDPOINT}/v1/traces`,
      headers: pairsOf(values.OTEL_EXPORTER_OTLP_HEADERS?.reveal() ?? "") ?? {},
      encoding: values.OTEL_EXPORTER_OTLP_PROTOCOL === "http/json" ? "json" : "protobuf",
      batch: {
        queueSpans: values.OTEL_BSP_MAX_QUEUE_SIZE,
        batchSpans: values.OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
        delayMs: values.OTEL_BSP_SCHEDULE_DELAY,
        requestMs: values.OTEL_EXPORTER_OTLP_TIMEOUT,
        exportMs: values.OTEL_BSP_EXPORT_TIMEOUT,
      },
    },
  ];
}

function platformOf({ TRACES_URL: url, SERVICE_KEY: key }: Partial<TracingValues>): DestinationSettings[] {
  if (url === undefined || url === "off") return [];
  return [
    {
      name: "platform",
      url: `${url}${TRACES_PATH}`,
      headers: key === undefined ? {} : { [SERVICE_KEY_HEADER]: key.reveal() },
      encoding: "json",
      batch: PLATFORM_BATCH,
    },
  ];
}
