/**
 * Chooses one of a service's instances for each attempt: the less busy of two random ones, among those that are well.
 * Who fails is left alone and asked by itself (a probe) until it is well again. Where none is well all are tried: a
 * choice never refuses, that is for the circuit breaker of the edge.
 * Source of the choice: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 2001.
 */
import { Failure, messageOf, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { exponential } from "#shared/resilience";
import { type Endpoint, makeListeners, type Source } from "./endpoint.ts";

/** How often each of several instances is asked, and the longest that one may take (ms): a dead one is avoided within the sum. */
const PROBE_EVERY_MS = 750;
const PROBE_WITHIN_MS = 750;
/** The same where there is one only: nothing is chosen, and it is asked for the health report's sake. */
const ALONE_EVERY_MS = 2_000;
const ALONE_WITHIN_MS = 1_000;
/** An attempt that had less time than this (ms) proves nothing by running out of it. */
const FAIR_MS = 500;
/** How much before its end an attempt may be given up (ms): timers are not exact. */
const EARLY_MS = 50;
/** How long an instance is avoided that answers, but badly; anew after the next bad answer, longer each time. */
const avoidance = exponential({ firstMs: 300, maxMs: 2_000 });
/** How long an instance has to be out of reach before it may be forgotten, if its source sees no more of it either (ms). */
const FORGET_MS = 60_000;
/** Instances that one request tries at most, where trying again is harmless. */
const MAX_TRIES = 3;

/** What a probe tells: `not_ready` is alive and wants no work. */
export type Probed = { readonly state: "up" } | { readonly state: "not_ready" | "down"; readonly error: unknown };

/**
 * What an attempt said of the instance:
 *
 *     well     it answered
 *     sick     it answered, that it is not well
 *     unsent   it cannot be reached: nothing was done
 *     lost     the connection was lost: it may have been done
 *     late     it did not answer in a time that was fair
 *     nothing  the caller went away, gave no time, or was at fault itself
 */
export type Outcome = "well" | "sick" | "unsent" | "lost" | "late" | "nothing";

export interface Choice {
  readonly endpoint: Endpoint;
  /** Once, when the attempt is over. */
  end(outcome: Outcome, error?: unknown): void;
}

/** One instance, as this process sees it. */
export interface InstanceState {
  readonly endpoint: Endpoint;
  readonly state: "unknown" | "up" | "not_ready" | "down";
  /** Since when it is in this state (ms since 1970). */
  readonly since: number;
  /** When it last answered (ms since 1970). */
  readonly lastSeen: number | undefined;
  readonly inFlight: number;
}

export interface Pool extends Disposable {
  readonly size: number;
  instances(): readonly InstanceState[];
  /** Those to be asked where each has something of its own to tell: without those of the configuration where others have announced themselves. */
  distinct(): readonly InstanceState[];
  /** Told when instances come or go. */
  onChange(changed: () => void): Disposable;
  /** The instance for an attempt: one of those that were not tried; undefined once all were. */
  pick(tried?: ReadonlySet<string>): Choice | undefined;
  /** What is known of an instance by other means than attempts: a connection that was opened or lost. */
  note(url: string, probed: Probed): void;
}

export interface PoolOptions {
  readonly service: string;
  readonly source: Source;
  readonly log: Log;
  /** Absent: nothing is asked, what attempts say counts. */
  readonly probe?: (endpoint: Endpoint, withinMs: number) => Promise<Probed>;
  /** Told after each round of probes: whether any instance is up, else what is wrong with one. Also where there is one only. */
  readonly onHealth?: (health: { up: true; tookMs: number } | { up: false; error: unknown }) => void;
  /** Default 750. */
  readonly everyMs?: number;
  /** In [0, 1); default `Math.random`. */
  readonly random?: () => number;
}

interface Member {
  endpoint: Endpoint;
  inFlight: number;
  state: InstanceState["state"];
  since: number;
  /** By `performance.now()`. */
  downSince: number;
  lastSeen: number | undefined;
  avoidUntil: number;
  /** Bad answers in a row. */
  streak: number;
  /** When an attempt or a connection last showed that it is up, by `performance.now()`. */
  provenAt: number;
  probing: boolean;
}

export function makePool(options: PoolOptions): Pool {
  const { service, source, log, probe, onHealth, random = Math.random, everyMs = PROBE_EVERY_MS } = options;
  const listeners = makeListeners();
  let members = new Map<string, Member>();
  let list: readonly Member[] = [];
  let closed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function refresh(): void {
    const next = new Map<string, Member>();
    for (const endpoint of source.current()) {
      const known = members.get(endpoint.url);
      if (known !== undefined) known.endpoint = endpoint;
      next.set(endpoint.url, known ?? newMember(endpoint));
    }
    const isSame = next.size === members.size && [...next.keys()].every((url) => members.has(url));
    const isFirst = members.size === 0;
    members = next;
    list = [...next.values()];
    if (isSame || isFirst) return;
    log.info("instances changed", { to: service, urls: list.map(({ endpoint }) => endpoint.url) });
    listeners.tell();
    // What is new is used once it has answered.
    for (const member of list) if (member.state === "unknown" && !isSpare(member)) void ask(member);
  }

  function become(member: Member, state: Member["state"], error?: unknown): void {
    if (state === "up") {
      member.lastSeen = Date.now();
      if (member.state !== "up") member.streak = 0;
    }
    if (member.state === state) return;
    if (list.length > 1) {
      const { url } = member.endpoint;
      if (state === "up") log.info("instance in use", { to: service, url });
      else log.warn("instance avoided", { to: service, url, state, reason: messageOf(error) });
    }
    member.state = state;
    member.since = Date.now();
    if (state === "down") member.downSince = performance.now();
  }

  /** Lowest first. Those of the configuration come before announced ones that are out of reach, and after all others. */
  function rankOf({ endpoint, state, avoidUntil }: Member, now: number): number {
    const isFallback = endpoint.isFallback === true;
    if (state === "down") return isFallback ? 5 : 4;
    // Where nobody asks, only attempts tell.
    const isWell = (state === "up" || (state === "unknown" && probe === undefined)) && avoidUntil <= now;
    return (isFallback ? 2 : 0) + (isWell ? 0 : 1);
  }

  function best(tried: ReadonlySet<string> | undefined): Member[] {
    const now = performance.now();
    let lowest = Number.POSITIVE_INFINITY;
    let found: Member[] = [];
    for (const member of list) {
      if (tried?.has(member.endpoint.url) === true) continue;
      const rank = rankOf(member, now);
      if (rank > lowest) continue;
      if (rank < lowest) found = [];
      lowest = rank;
      found.push(member);
    }
    return found;
  }

  function choose(candidates: readonly Member[]): Member | undefined {
    if (candidates.length < 2) return candidates[0];
    const first = Math.floor(random() * candidates.length);
    const second = (first + 1 + Math.floor(random() * (candidates.length - 1))) % candidates.length;
    const [one, other] = [candidates[first], candidates[second]];
    if (one === undefined || other === undefined) return one ?? other;
    return other.inFlight < one.inFlight ? other : one;
  }

  function ended(member: Member, outcome: Outcome, error: unknown): void {
    if (outcome === "well") {
      member.streak = 0;
      member.provenAt = performance.now();
      become(member, "up");
    } else if (outcome === "unsent" || outcome === "lost") {
      become(member, "down", error);
      void ask(member);
    } else if (outcome === "sick" || outcome === "late") {
      member.avoidUntil = performance.now() + avoidance(member.streak);
      member.streak += 1;
      // Whether it is only slow, a probe tells.
      if (outcome === "late") void ask(member);
    }
  }

  async function ask(member: Member): Promise<void> {
    if (probe === undefined || member.probing || closed || (list.length < 2 && onHealth === undefined)) return;
    member.probing = true;
    try {
      let startedAt = performance.now();
      let probed = await probe(member.endpoint, list.length > 1 ? PROBE_WITHIN_MS : ALONE_WITHIN_MS);
      // It has answered others meanwhile: once more, at once.
      if (probed.state === "down" && member.provenAt > startedAt && !closed) {
        startedAt = performance.now();
        probed = await probe(member.endpoint, PROBE_WITHIN_MS);
      }
      if (closed) return;
      become(member, probed.state, probed.state === "up" ? undefined : probed.error);
      if (probed.state === "up") onHealth?.({ up: true, tookMs: performance.now() - startedAt });
      else if (list.every(({ state }) => state !== "up")) onHealth?.({ up: false, error: probed.error });
    } finally {
      member.probing = false;
    }
    const isLost = member.state === "down" && performance.now() - member.downSince > FORGET_MS;
    if (isLost && list.length > 1) source.forget?.(member.endpoint.url);
  }

  /** For when no announced one is up: until then it is left in peace, being one of these mostly, by another name. */
  function isSpare({ endpoint }: Member): boolean {
    return endpoint.isFallback === true && list.some((one) => one.endpoint.isFallback !== true && one.state === "up");
  }

  function round(): void {
    if (closed) return;
    for (const member of list) if (!isSpare(member)) void ask(member);
    const waitMs = list.length > 1 ? everyMs : ALONE_EVERY_MS;
    timer = setTimeout(round, waitMs * (0.9 + random() / 5));
    timer.unref();
  }

  const instances = (): InstanceState[] =>
    list.map(({ endpoint, state, since, lastSeen, inFlight }) => ({ endpoint, state, since, lastSeen, inFlight }));

  const watching = source.onChange(refresh);
  refresh();
  // Not before whoever makes it has it.
  if (probe !== undefined) queueMicrotask(round);

  return {
    get size() {
      return list.length;
    },
    instances,
    distinct: () => instances().filter(({ endpoint }) => endpoint.isFallback !== true),
    onChange: (changed) => listeners.add(changed),
    pick(tried) {
      const member = choose(best(tried));
      if (member === undefined) return undefined;
      member.inFlight += 1;
      return {
        endpoint: member.endpoint,
        end(outcome, error) {
          member.inFlight -= 1;
          if (!closed) ended(member, outcome, error);
        },
      };
    },
    note(url, probed) {
      const member = members.get(url);
      if (member === undefined) return;
      if (probed.state === "up") member.provenAt = performance.now();
      become(member, probed.state, probed.state === "up" ? undefined : probed.error);
    },
    [Symbol.dispose]() {
      closed = true;
      clearTimeout(timer);
      watching[Symbol.dispose]();
      source[Symbol.dispose]();
    },
  };
}

function newMember(endpoint: Endpoint): Member {
  return {
    endpoint,
    inFlight: 0,
    state: "unknown",
    since: Date.now(),
    downSince: 0,
    lastSeen: undefined,
    avoidUntil: 0,
    streak: 0,
    provenAt: 0,
    probing: false,
  };
}

/** A connection that was never there. By these codes of the system and of its resolver nothing of a request was sent. */
const UNSENT: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ConnectionRefused",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EHOSTDOWN",
  "ENOTFOUND",
  "EAI_AGAIN",
]);

function wasSent({ cause }: Failure): boolean {
  return !(cause instanceof Error && "code" in cause && UNSENT.has(cause.code));
}

/**
 * Whether an attempt that ran out of time had a fair time, and used it: where the asker went away, time that was left
 * proves nothing of the instance.
 */
export function isLate(hadMs: number, tookMs: number): boolean {
  return hadMs >= FAIR_MS && tookMs >= hadMs - EARLY_MS;
}

/** What a failed attempt over HTTP says of the instance. */
function outcomeOf(error: Failure, hadMs: number, tookMs: number): Outcome {
  // Without an error of the connection it is what was answered.
  if (error.code === "unavailable" && error.cause instanceof Error) return wasSent(error) ? "lost" : "unsent";
  if (error.code === "deadline") return isLate(hadMs, tookMs) ? "late" : "nothing";
  return error.code === "bad_gateway" || error.code === "unavailable" ? "sick" : "nothing";
}

export interface TryOptions<T> {
  /** Time that the attempts have (ms). */
  readonly remainingMs: () => number;
  /** Doing it twice has the effect of once: an instance that was lost on the way is followed by another. */
  readonly isRepeatable: boolean;
  /** Whether an answer says that who gave it is not well. */
  readonly isSick?: (answer: T) => boolean;
}

/**
 * One attempt at one instance; where that one cannot be reached, and nothing was sent, at another at once. Each is
 * tried once, three at most.
 * @returns the last one's result.
 */
export async function atSome<T>(
  pool: Pool,
  { remainingMs, isRepeatable, isSick }: TryOptions<T>,
  attempt: (endpoint: Endpoint) => Promise<Result<T>>,
): Promise<Result<T>> {
  const tried = new Set<string>();
  let last: Result<T> | undefined;
  while (tried.size < MAX_TRIES) {
    const choice = pool.pick(tried);
    if (choice === undefined) break;
    tried.add(choice.endpoint.url);
    const hadMs = remainingMs();
    const startedAt = performance.now();
    let outcome: Outcome = "nothing";
    try {
      last = await attempt(choice.endpoint);
      if (!last.ok) outcome = outcomeOf(last.error, hadMs, performance.now() - startedAt);
      else outcome = isSick?.(last.value) === true ? "sick" : "well";
    } finally {
      choice.end(outcome, last?.ok === false ? (last.error.cause ?? last.error) : undefined);
    }
    const isOver = outcome !== "unsent" && !(outcome === "lost" && isRepeatable);
    if (isOver || remainingMs() <= 0) break;
  }
  return last ?? { ok: false, error: new Failure("unavailable", "no instance is known") };
}
