/** Which traces are recorded. It is decided where a trace begins, and the decision travels with it. */
import { ROOT_CONTEXT } from "@opentelemetry/api";
import { SamplingDecision, TraceIdRatioBasedSampler } from "@opentelemetry/sdk-trace";
import { DEFAULT_RATE } from "./fields.ts";
import type { SamplerSettings } from "./settings.ts";

export interface Sampler {
  isRootSampled(traceId: string): boolean;
  isContinuedSampled(traceId: string, sampled: boolean, fromOutside: boolean): boolean;
}

/** Says yes so many times a second, and as many at once (at least one). @param now by a monotonic clock (ms). */
export function makeTokens(perSecond: number, now: () => number = () => performance.now()): () => boolean {
  const most = perSecond === 0 ? 0 : Math.max(1, perSecond);
  let tokens = most;
  let at = now();
  return () => {
    const time = now();
    tokens = Math.min(most, tokens + ((time - at) / 1_000) * perSecond);
    at = time;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}

type Root = (traceId: string) => boolean;

function rootOf({ name, argument }: SamplerSettings, now?: () => number): Root {
  switch (name) {
    case "always_on":
    case "parentbased_always_on":
      return () => true;
    case "always_off":
    case "parentbased_always_off":
      return () => false;
    case "traceidratio":
    case "parentbased_traceidratio": {
      // The same traces as any other process with this sampler.
      const sampler = new TraceIdRatioBasedSampler(argument);
      return (traceId) => sampler.shouldSample(ROOT_CONTEXT, traceId).decision === SamplingDecision.RECORD_AND_SAMPLED;
    }
    default:
      return makeTokens(argument, now);
  }
}

/**
 * Those of OpenTelemetry by their names, and `parentbased_ratelimited`. That somebody outside wants his trace recorded is
 * granted at the same rate as traces begin here (unless all are recorded anyway), by a bucket of its own: nobody can
 * make us record more. A request without a `traceparent` begins a trace here, whoever sends it: outsiders can use up what
 * the root's bucket has.
 */
export function makeSampler(settings: SamplerSettings, now?: () => number): Sampler {
  const root = rootOf(settings, now);
  const { name, argument } = settings;
  if (!name.startsWith("parentbased_")) return { isRootSampled: root, isContinuedSampled: root };
  const outside =
    name === "parentbased_always_on"
      ? () => true
      : makeTokens(name === "parentbased_ratelimited" ? argument : DEFAULT_RATE, now);
  return {
    isRootSampled: root,
    isContinuedSampled: (_traceId, sampled, fromOutside) => sampled && (!fromOutside || outside()),
  };
}
