/** How the platform is as a whole: each service's `/ready`, asked side by side, and what they say of the backing services. */
import { Type } from "@sinclair/typebox";
import { type BackingHealth, DependencyView, type HealthReport, type ServiceHealth } from "#contracts/health";
import type { JsonClient } from "#shared/client";
import type { Health } from "#shared/lifecycle";
import { quietContext } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";

/** Longest that a service may take to answer (ms). */
const WITHIN_MS = 1_000;
/** By the names that services have for them in `/ready`. */
const BACKING = ["postgres", "mongodb", "rabbitmq", "smtp"] as const;

const readinessOf = makeValidator(Type.Object({ dependencies: Type.Array(DependencyView) }));

export interface PlatformHealth {
  /** A sentence: what is not as it should be. */
  readonly message: string;
  readonly report: HealthReport;
  /** Of the broker itself. */
  readonly ready: boolean;
}

/** Asks anew at each call; calls at the same time share one answer, so that many who ask cost no more than one. */
export function makePlatformHealth(
  own: Health,
  services: Readonly<Record<string, JsonClient>>,
): () => Promise<PlatformHealth> {
  let asking: Promise<PlatformHealth> | undefined;

  async function look(): Promise<PlatformHealth> {
    const others = await Promise.all(Object.entries(services).map(([name, client]) => askOne(name, client)));
    const { ready, dependencies } = own.report();
    const report = { services: [viewOf("broker", ready, dependencies, 0), ...others] };
    return {
      ready,
      message: sentence(report.services),
      report: { ...report, backing: BACKING.map((name) => backingOf(name, report.services)) },
    };
  }

  return () =>
    (asking ??= look().finally(() => {
      asking = undefined;
    }));
}

async function askOne(name: string, client: JsonClient): Promise<ServiceHealth> {
  const startedAt = performance.now();
  const answer = await client.request("GET", "/ready", undefined, quietContext(WITHIN_MS));
  const tookMs = Math.round(performance.now() - startedAt);
  if (!answer.ok) return { name, state: "away", dependencies: [], took_ms: tookMs };
  const readiness = readinessOf(answer.value.envelope.data);
  return viewOf(name, answer.value.status === 200, readiness.ok ? readiness.value.dependencies : [], tookMs);
}

function viewOf(name: string, ready: boolean, dependencies: DependencyView[], tookMs: number): ServiceHealth {
  const whole = dependencies.every(({ state }) => state === "up");
  return { name, state: !ready ? "not_ready" : whole ? "up" : "degraded", dependencies, took_ms: tookMs };
}

function backingOf(name: string, services: readonly ServiceHealth[]): BackingHealth {
  const users = services.flatMap((service) =>
    service.dependencies
      .filter((dependency) => dependency.name === name)
      .map(({ state }) => ({ service: service.name, state })),
  );
  const isDown = users.some(({ state }) => state !== "up");
  return {
    name,
    state: users.length === 0 ? "unknown" : isDown ? "down" : "up",
    seen_by: users.map(({ service }) => service),
  };
}

/** What is named as failing itself is not named again by those that miss it. */
function sentence(services: readonly ServiceHealth[]): string {
  const failing = services.filter(({ state }) => state === "away" || state === "not_ready").map(({ name }) => name);
  const parts = services.flatMap(({ name, state, dependencies }) => {
    const lacking = dependencies.filter((dependency) => dependency.state !== "up").map((dependency) => dependency.name);
    const missed = lacking.filter((lack) => !failing.includes(lack)).join(", ");
    if (state === "away") return [`${name} does not answer`];
    if (state === "not_ready") return [`${name} is not ready${lacking.length === 0 ? "" : ` (${lacking.join(", ")})`}`];
    return missed === "" ? [] : [`${name} is without ${missed}`];
  });
  return parts.length === 0 ? "All is well" : `Degraded: ${parts.join("; ")}`;
}
