/** How the platform is as a whole: `/ready` of each instance of each service, asked side by side, and what they say of the backing services. */
import {
  type BackingHealth,
  type BacklogView,
  type DependencyView,
  type HealthReport,
  type InstanceHealth,
  Readiness,
  type RegistryHealth,
  type ServiceHealth,
} from "#contracts/health";
import { clientOfOne } from "#shared/client";
import type { InstanceState, Pool } from "#shared/discovery";
import type { Health } from "#shared/lifecycle";
import { quietContext } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";

/** Longest that an instance may take to answer (ms). */
const WITHIN_MS = 1_000;
/** By the names that services have for them in `/ready`. */
const BACKING = ["postgres", "mongodb", "rabbitmq", "smtp"] as const;
/** Lowest first. */
const RANK = { up: 0, starting: 1, down: 2 } as const;

const readinessOf = makeValidator(Readiness);

export interface PlatformHealth {
  /** A sentence: what is not as it should be. */
  readonly message: string;
  readonly report: HealthReport;
  /** Of the broker itself. */
  readonly ready: boolean;
}

export interface PlatformHealthOptions {
  readonly version: string;
  /** Of the broker. */
  readonly own: Health;
  /** The services behind, by their names. */
  readonly pools: Readonly<Record<string, Pool>>;
  readonly registry: () => RegistryHealth;
}

interface Asked {
  readonly instance: InstanceHealth;
  readonly dependencies: readonly DependencyView[];
  readonly backlog: readonly BacklogView[];
}

/** Asks anew at each call; calls at the same time share one answer, so that many who ask cost no more than one. */
export function makePlatformHealth({
  version,
  own,
  pools,
  registry,
}: PlatformHealthOptions): () => Promise<PlatformHealth> {
  let asking: Promise<PlatformHealth> | undefined;

  async function look(): Promise<PlatformHealth> {
    const others = await Promise.all(Object.entries(pools).map(([name, pool]) => askAll(name, pool)));
    const { ready, dependencies, backlog, started_at } = own.report();
    const self = { state: stateOf(ready, dependencies), version, up_since: started_at, took_ms: 0 };
    const services = [serviceOf("broker", [{ instance: self, dependencies, backlog }]), ...others];
    return {
      ready,
      message: sentence(services),
      report: { services, backing: BACKING.map((name) => backingOf(name, services)), registry: registry() },
    };
  }

  return () =>
    (asking ??= look().finally(() => {
      asking = undefined;
    }));
}

/** What an anonymous caller sees of it: no address, no version, nobody's words. */
export function withoutErrors(report: HealthReport): HealthReport {
  const hide = <T extends { last_error?: string }>({ last_error: _hidden, ...shown }: T): Omit<T, "last_error"> =>
    shown;
  return {
    ...report,
    services: report.services.map((service) => ({
      ...service,
      instances: service.instances.map(({ url: _url, version: _version, ...shown }) => shown),
      dependencies: service.dependencies.map((dependency) => hide(dependency)),
    })),
    backing: report.backing.map((backing) => hide(backing)),
  };
}

async function askAll(name: string, pool: Pool): Promise<ServiceHealth> {
  return serviceOf(name, await Promise.all(pool.distinct().map((one) => askOne(name, one))));
}

async function askOne(name: string, { endpoint, lastSeen }: InstanceState): Promise<Asked> {
  const startedAt = performance.now();
  const answer = await clientOfOne(name, endpoint).request("GET", "/ready", undefined, quietContext(WITHIN_MS));
  const tookMs = Math.round(performance.now() - startedAt);
  const { url, announced } = endpoint;
  if (!answer.ok) {
    const seen = lastSeen === undefined ? {} : { last_seen: new Date(lastSeen).toISOString() };
    const told = announced === undefined ? {} : { version: announced.version, up_since: announced.startedAt };
    return { instance: { state: "away", url, ...told, ...seen, took_ms: tookMs }, dependencies: [], backlog: [] };
  }
  const checked = readinessOf(answer.value.envelope.data);
  const { dependencies, backlog, started_at, version }: Readiness = checked.ok ? checked.value : { dependencies: [] };
  return {
    instance: {
      state: stateOf(answer.value.status === 200, dependencies),
      url,
      ...(version === undefined ? {} : { version }),
      ...(started_at === undefined ? {} : { up_since: started_at }),
      last_seen: new Date().toISOString(),
      took_ms: tookMs,
    },
    dependencies,
    backlog: backlog ?? [],
  };
}

function stateOf(ready: boolean, dependencies: readonly DependencyView[]): InstanceHealth["state"] {
  if (!ready) return "not_ready";
  return dependencies.every(({ state }) => state === "up") ? "up" : "degraded";
}

function serviceOf(name: string, asked: readonly Asked[]): ServiceHealth {
  const instances = asked.map(({ instance }) => instance);
  const states = new Set(instances.map(({ state }) => state));
  const isReady = states.has("up") || states.has("degraded");
  const [only = "away"] = states;
  const state = states.size < 2 ? only : isReady ? "degraded" : "not_ready";
  const worst = new Map<string, DependencyView>();
  for (const dependency of asked.flatMap(({ dependencies }) => dependencies)) {
    const before = worst.get(dependency.name);
    if (before === undefined || RANK[dependency.state] > RANK[before.state]) worst.set(dependency.name, dependency);
  }
  const waiting = new Map<string, number>();
  for (const one of asked.flatMap(({ backlog }) => backlog))
    waiting.set(one.name, Math.max(waiting.get(one.name) ?? 0, one.waiting));
  return {
    name,
    state,
    instances,
    dependencies: [...worst.values()],
    backlog: Array.from(waiting, ([what, most]) => ({ name: what, waiting: most })),
    took_ms: Math.max(0, ...instances.map(({ took_ms }) => took_ms)),
  };
}

function backingOf(name: string, services: readonly ServiceHealth[]): BackingHealth {
  const users = services.flatMap((service) =>
    service.dependencies.filter((one) => one.name === name).map((dependency) => ({ user: service.name, dependency })),
  );
  const down = users.filter(({ dependency }) => dependency.state !== "up");
  const told = (down.length > 0 ? down : users).map(({ dependency }) => dependency);
  const [since] = told.map((one) => one.since).sort();
  const [last] = told
    .filter((one) => one.last_error !== undefined)
    .sort((a, b) => (b.last_error_at ?? "").localeCompare(a.last_error_at ?? ""));
  return {
    name,
    state: users.length === 0 ? "unknown" : down.length > 0 ? "down" : "up",
    ...(since === undefined ? {} : { since }),
    ...(last?.last_error === undefined ? {} : { last_error: last.last_error }),
    ...(last?.last_error_at === undefined ? {} : { last_error_at: last.last_error_at }),
    seen_by: users.map(({ user }) => user),
  };
}

/** What is named as failing itself is not named again by those that miss it. */
function sentence(services: readonly ServiceHealth[]): string {
  const failing = services.filter(({ state }) => state === "away" || state === "not_ready").map(({ name }) => name);
  const parts = services.flatMap(({ name, state, instances, dependencies }) => {
    const lacking = dependencies.filter((dependency) => dependency.state !== "up").map((dependency) => dependency.name);
    const missed = lacking.filter((lack) => !failing.includes(lack)).join(", ");
    if (state === "away") return [`${name} does not answer`];
    if (state === "not_ready") return [`${name} is not ready${lacking.length === 0 ? "" : ` (${lacking.join(", ")})`}`];
    const lost = instances.filter((one) => one.state === "away" || one.state === "not_ready").length;
    return [
      ...(lost === 0 ? [] : [`${lost} of ${instances.length} instances of ${name} ${lost === 1 ? "is" : "are"} away`]),
      ...(missed === "" ? [] : [`${name} is without ${missed}`]),
    ];
  });
  return parts.length === 0 ? "All is well" : `Degraded: ${parts.join("; ")}`;
}
