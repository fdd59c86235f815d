/** The parts of the platform in words: how each is, since when, and what is wrong. Pure: the same for the map, the list and the pages. */
import { listed, type Schema, type Tone } from "./words.ts";

export type Health = Schema<"HealthReport">;
export type Figures = Schema<"PlatformFigures">;
type Service = Schema<"ServiceHealth">;

export const SERVICES = ["broker", "auth", "logger", "mail", "listener"] as const;
export const BACKING = ["rabbitmq", "postgres", "mongodb", "smtp", "redis"] as const;
export type PartName = (typeof SERVICES)[number] | (typeof BACKING)[number];
export const PARTS: readonly PartName[] = [...SERVICES, ...BACKING];

/** As people write them. */
export const TITLES: Readonly<Record<PartName, string>> = {
  broker: "broker",
  auth: "auth",
  logger: "logger",
  mail: "mail",
  listener: "listener",
  rabbitmq: "RabbitMQ",
  postgres: "PostgreSQL",
  mongodb: "MongoDB",
  smtp: "mail server",
  redis: "Redis",
};
export const titleOf = (name: string): string => TITLES[name as PartName] ?? name;

export interface PartState {
  readonly tone: Tone;
  readonly word: string;
}

const SERVICE_STATES: Readonly<Record<Service["state"], PartState>> = {
  up: { tone: "good", word: "up" },
  degraded: { tone: "warn", word: "degraded" },
  not_ready: { tone: "bad", word: "not ready" },
  away: { tone: "bad", word: "away" },
};
const BACKING_STATES: Readonly<Record<Schema<"BackingHealth">["state"], PartState>> = {
  up: { tone: "good", word: "up" },
  down: { tone: "bad", word: "away" },
  unknown: { tone: "info", word: "unknown" },
};
const UNKNOWN: PartState = { tone: "info", word: "unknown" };

/** How a part is, as far as anybody tells. */
export function stateOf(health: Health | undefined, name: string): PartState {
  const service = health?.services.find((one) => one.name === name);
  if (service !== undefined) return SERVICE_STATES[service.state];
  const backing = health?.backing.find((one) => one.name === name);
  return backing === undefined ? UNKNOWN : BACKING_STATES[backing.state];
}

export interface Wrong {
  readonly part: string;
  readonly tone: Tone;
  /** A sentence without its end: "logger does not answer". */
  readonly text: string;
  /** Since when, where anybody knows (RFC 3339). */
  readonly since?: string;
}

/** What is not as it should be, a sentence each; what stands still first. */
export function wrongOf({ services, backing }: Health): Wrong[] {
  const wrong = [
    ...backing.filter(({ state }) => state === "down").map((one) => wrongBacking(one)),
    ...services.filter(({ state }) => state !== "up").map((one) => wrongService(one, services)),
  ];
  return wrong.toSorted((a, b) => Number(b.tone === "bad") - Number(a.tone === "bad"));
}

function wrongBacking({ name, since, seen_by }: Schema<"BackingHealth">): Wrong {
  const who = seen_by.length === 0 ? "" : `, say ${listed(seen_by)}`;
  return { part: name, tone: "bad", text: `${titleOf(name)} is away${who}`, ...(since === undefined ? {} : { since }) };
}

function wrongService({ name, state, dependencies, instances }: Service, services: readonly Service[]): Wrong {
  if (state === "away") {
    // Others that use it have seen it go.
    const seen = services
      .flatMap((other) => other.dependencies)
      .filter((one) => one.name === name && one.state === "down");
    return { part: name, tone: "bad", text: `${name} does not answer`, ...sinceOf(seen) };
  }
  const down = dependencies.filter((one) => one.state !== "up");
  if (state === "not_ready") {
    const needed = down.filter(({ required }) => required);
    return { part: name, tone: "bad", text: `${name} can't work without ${names(needed)}`, ...sinceOf(needed) };
  }
  if (down.length > 0)
    return { part: name, tone: "warn", text: `${name} does without ${names(down)}`, ...sinceOf(down) };
  const open = dependencies.filter(({ circuit = "closed" }) => circuit !== "closed");
  if (open.length > 0) return { part: name, tone: "warn", text: `${name} does not ask ${names(open)} for a moment` };
  const away = instances.filter((one) => one.state !== "up").length;
  return { part: name, tone: "warn", text: `${away} of ${instances.length} instances of ${name} are not well` };
}

const names = (of: readonly { readonly name: string }[]): string => listed(of.map(({ name }) => titleOf(name)));

function sinceOf(of: readonly { readonly since: string }[]): { since?: string } {
  const [since] = of.map((one) => one.since).toSorted();
  return since === undefined ? {} : { since };
}

/** Since when nothing has changed (RFC 3339): the last time that anything did. */
export function quietSince({ services }: Health): string | undefined {
  return services
    .flatMap(({ dependencies }) => dependencies.map(({ since }) => since))
    .toSorted()
    .at(-1);
}

/** A figure of a part, `requests.all`; undefined where it is not known. */
export function valueOf(figures: Figures | undefined, part: string, key: string): number | undefined {
  return figures?.parts.find(({ name }) => name === part)?.values[key] ?? undefined;
}

/** The sum of all series of one chart of a part; undefined where none is known. */
export function sumOf(figures: Figures | undefined, part: string, chart: string): number | undefined {
  const values = Object.entries(figures?.parts.find(({ name }) => name === part)?.values ?? {})
    .filter(([key, value]) => key.startsWith(`${chart}.`) && value !== null)
    .map(([, value]) => value ?? 0);
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

/** Messages that wait in queues of a role; undefined while nobody can tell. */
export function queuedOf(figures: Figures | undefined, roles: readonly string[]): number | undefined {
  if (figures === undefined || figures.queues.length === 0) return undefined;
  return figures.queues
    .filter(({ role }) => roles.includes(role))
    .reduce((sum, { messages }) => sum + (messages ?? 0), 0);
}

/** What waits in a service to be handed on; undefined where it does not say. */
export function backlogOf(health: Health | undefined, name: string): number | undefined {
  const backlog = health?.services.find((one) => one.name === name)?.backlog ?? [];
  return backlog.length === 0 ? undefined : backlog.reduce((sum, { waiting }) => sum + waiting, 0);
}
