/** Load as real clients make it: at a fixed rate whether or not answers come (open loop), and honest about what was accepted. */
import amqp from "amqplib";
import { LOGS_EXCHANGE, routingKeyOf } from "#contracts/events";
import { outgoingTls } from "#shared/tls";
import type { Envelope } from "#contracts/envelope";
import { SEVERITIES } from "#contracts/logs";
import type { Grounds } from "./grounds.ts";
import type { History } from "./history.ts";
import { oneOf } from "./random.ts";

/** What came of one call. */
export interface Sample {
  readonly what: string;
  /** HTTP status; 0 where no answer came (refused, reset, too late). For events 202 is confirmed, 0 is not. */
  readonly status: number;
  /** From the moment at which it was due until the answer (ms). */
  readonly ms: number;
  /** When it was due, from the beginning of the load (ms). */
  readonly at: number;
  /** The header `X-Degraded`. */
  readonly degraded?: string;
  /** It said when to try again. */
  readonly retryAfter?: boolean;
  /** Why there was no answer, or what it said where it refused. */
  readonly said?: string;
}

type Outcome = Omit<Sample, "what" | "ms" | "at">;
export interface Call {
  readonly what: string;
  /** Never throws. */
  readonly run: () => Promise<Outcome>;
}

/** Longest that a client waits (ms): more than the platform may take. */
const CLIENT_MS = 15_000;
const TICK_MS = 5;
const CONFIRM_MS = 10_000;
const RECONNECT_MS = 100;

export interface Calls {
  readonly log: Call;
  readonly mail: Call;
  /** The development user's login, and that nothing else is answered than what is right. */
  readonly login: Call;
  /** `POST /`, which publishes an event of the broker's own. */
  readonly hit: Call;
}

export interface CallOptions {
  /** The broker that gets the next call (default: the platform's). */
  readonly broker?: () => string;
}

/** The calls of clients, each with a name of its own, noted in the history when it was accepted and only then. */
export function makeCalls(
  platform: Grounds,
  history: History,
  random: () => number,
  { broker = () => platform.url("broker") }: CallOptions = {},
): Calls {
  const post = async (
    path: string,
    body: unknown,
    onAccepted: (data: unknown, headers: Headers) => void,
  ): Promise<Outcome> => {
    try {
      const answer = await fetch(`${broker()}${path}`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
        ...outgoingTls(),
        signal: AbortSignal.timeout(CLIENT_MS),
      });
      const envelope = (await answer.json()) as Envelope;
      if (answer.status === 200 || answer.status === 202) onAccepted(envelope.data, answer.headers);
      const degraded = answer.headers.get("x-degraded");
      return {
        status: answer.status,
        ...(degraded === null ? {} : { degraded }),
        ...(answer.status < 300 ? {} : { said: envelope.message, retryAfter: answer.headers.has("retry-after") }),
      };
    } catch (error) {
      return { status: 0, said: error instanceof Error ? error.message : String(error) };
    }
  };
  const idOf = (data: unknown, key: string): { id: string } | undefined => {
    const id = typeof data === "object" && data !== null ? (data as Record<string, unknown>)[key] : undefined;
    return typeof id === "string" ? { id } : undefined;
  };
  return {
    log: {
      what: "log",
      run: () => {
        const name = history.nextName("log");
        const log = { name, data: { name, n: random() }, severity: oneOf(random, SEVERITIES) };
        return post("/handle", { action: "log", log }, (data) =>
          history.accept("log", name, idOf(data, "receipt_id") ?? {}),
        );
      },
    },
    mail: {
      what: "mail",
      run: () => {
        const name = history.nextName("mail");
        const mail = { from: "me@example.com", to: "you@example.com", subject: name, message: name };
        return post("/handle", { action: "mail", mail }, (data) =>
          history.accept("mail", name, idOf(data, "receipt_id") ?? idOf(data, "id") ?? {}),
        );
      },
    },
    login: {
      what: "login",
      run: () =>
        post(
          "/handle",
          { action: "auth", auth: { email: "admin@example.com", password: "verysecret" } },
          () => undefined,
        ),
    },
    hit: {
      what: "hit",
      run: () =>
        post("/", "", (_data, headers) => {
          const id = headers.get("location")?.split("/").at(-1);
          if (id !== undefined) history.acceptId(id);
        }),
    },
  };
}

export interface Load {
  /** Samples so far, in the order in which they ended. */
  readonly samples: readonly Sample[];
  /** Since it began (ms): compare with `at` of samples. */
  readonly elapsedMs: number;
  /** Calls that were not made because too many were under way: the generator's own limit, never to be reached. */
  readonly skipped: number;
  /** Makes no more calls and waits for those under way. */
  stop(): Promise<readonly Sample[]>;
}

export interface LoadOptions {
  /** Calls a second. */
  readonly rate: number;
  /** What is called, with its weight. */
  readonly mix: readonly (readonly [call: Call, weight: number])[];
  readonly random: () => number;
  /** Calls under way at a time, at most (default 4,000). */
  readonly inFlight?: number;
}

export function startLoad({ rate, mix, random, inFlight: most = 4_000 }: LoadOptions): Load {
  const total = mix.reduce((sum, [, weight]) => sum + weight, 0);
  const choose = (): Call => {
    let at = random() * total;
    for (const [call, weight] of mix) {
      at -= weight;
      if (at < 0) return call;
    }
    return mix[0]![0];
  };
  const samples: Sample[] = [];
  const underWay = new Set<Promise<void>>();
  let skipped = 0;
  const stopping = new AbortController();
  const began = performance.now();

  const call = async (at: number): Promise<void> => {
    const { what, run } = choose();
    const outcome = await run();
    samples.push({ what, at, ms: performance.now() - began - at, ...outcome });
  };
  const running = (async () => {
    for (let made = 0; !stopping.signal.aborted; ) {
      const due = Math.floor(((performance.now() - began) / 1_000) * rate);
      for (; made < due; made += 1) {
        if (underWay.size >= most) {
          skipped += 1;
          continue;
        }
        const one = call((made / rate) * 1_000).finally(() => underWay.delete(one));
        underWay.add(one);
      }
      await Bun.sleep(TICK_MS);
    }
  })();

  return {
    samples,
    get elapsedMs() {
      return performance.now() - began;
    },
    get skipped() {
      return skipped;
    },
    async stop() {
      stopping.abort();
      await running;
      await Promise.all(underWay);
      return samples;
    },
  };
}

/** Runs a load for so long. */
export async function runLoad(options: LoadOptions, ms: number): Promise<readonly Sample[]> {
  const load = startLoad(options);
  await Bun.sleep(ms);
  return load.stop();
}

/** Makes a call so often, at most so many at a time: for a number of calls instead of a time. */
export async function repeat(call: Call, times: number, atOnce: number): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  const began = performance.now();
  let made = 0;
  const worker = async (): Promise<void> => {
    while (made < times) {
      made += 1;
      const at = performance.now() - began;
      const outcome = await call.run();
      samples.push({ what: call.what, at, ms: performance.now() - began - at, ...outcome });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return samples;
}

export interface Summary {
  readonly calls: number;
  readonly accepted: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** How many by status. */
  readonly byStatus: Readonly<Record<number, number>>;
  /** How many by what was degraded. */
  readonly byDegraded: Readonly<Record<string, number>>;
}

/** Times are in whole ms, over all answers (also refusals). */
export function summarize(samples: readonly Sample[]): Summary {
  const times = samples
    .filter(({ status }) => status !== 0)
    .map(({ ms }) => ms)
    .sort((a, b) => a - b);
  const byStatus: Record<number, number> = {};
  const byDegraded: Record<string, number> = {};
  for (const { status, degraded } of samples) {
    byStatus[status] = (byStatus[status] ?? 0) + 1;
    if (degraded !== undefined) byDegraded[degraded] = (byDegraded[degraded] ?? 0) + 1;
  }
  return {
    calls: samples.length,
    accepted: samples.filter(({ status }) => status >= 200 && status < 300).length,
    p50: percentile(times, 0.5),
    p99: percentile(times, 0.99),
    max: percentile(times, 1),
    byStatus,
    byDegraded,
  };
}

/** Of ascending times; 0 where there are none. */
export function percentile(times: readonly number[], share: number): number {
  return Math.round(times[Math.min(times.length - 1, Math.max(0, Math.ceil(times.length * share) - 1))] ?? 0);
}

/** What an answer may be while parts are away: accepted, or refused in a way that says so. 0 only where the broker was. */
const HONEST = new Set([200, 202, 429, 502, 503, 504]);

/** Answers that nobody should get, in words; also no answer at all, unless the broker itself was away. */
export function dishonest(samples: readonly Sample[], brokerWasAway = false): string[] {
  const wrong = samples.filter(({ status }) => !HONEST.has(status) && !(brokerWasAway && status === 0));
  const kinds = new Map<string, number>();
  for (const { what, status, said } of wrong) {
    const kind = `${what}: ${status === 0 ? "no answer" : status} ${said ?? ""}`.trim();
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return [...kinds].map(([kind, times]) => `${times} × ${kind}`);
}

export interface ForeignPublisher extends AsyncDisposable {
  /** Publishes an event as a program of somebody else would, with a confirm. */
  readonly event: Call;
}

/**
 * A client of RabbitMQ that is none of ours: publishes events straight to the exchange, with confirms, and connects
 * again when it has lost its connection. What was not confirmed may be there or not: it does not count as accepted.
 */
export function makeForeignPublisher(platform: Grounds, history: History, random: () => number): ForeignPublisher {
  let channel: amqp.ConfirmChannel | undefined;
  let model: amqp.ChannelModel | undefined;
  const closing = new AbortController();

  const connect = async (): Promise<void> => {
    const opened = await platform.rabbit();
    opened.on("error", () => undefined);
    opened.on("close", () => {
      if (model !== opened) return;
      model = undefined;
      channel = undefined;
    });
    const confirming = await opened.createConfirmChannel();
    confirming.on("error", () => undefined);
    model = opened;
    channel = confirming;
  };
  const keeping = (async () => {
    while (!closing.signal.aborted) {
      // It is away; it is tried again in a moment, until the end of the test.
      if (model === undefined) await connect().catch(() => undefined);
      await Bun.sleep(RECONNECT_MS);
    }
  })();

  const publish = (name: string, id: string): Promise<boolean> => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), CONFIRM_MS);
    try {
      if (channel === undefined) resolve(false);
      channel?.publish(
        LOGS_EXCHANGE,
        routingKeyOf(oneOf(random, SEVERITIES)),
        Buffer.from(JSON.stringify({ name, data: name })),
        { persistent: true, messageId: id, contentType: "application/json" },
        (error: unknown) => resolve(error === null || error === undefined),
      );
    } catch {
      // The channel has just been closed.
      resolve(false);
    }
    return promise.finally(() => clearTimeout(timer));
  };

  return {
    event: {
      what: "event",
      run: async () => {
        const name = history.nextName("event");
        const id = Bun.randomUUIDv7();
        const confirmed = await publish(name, id);
        if (confirmed) history.accept("event", name, { id });
        return confirmed ? { status: 202 } : { status: 0, said: "not confirmed" };
      },
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await keeping;
      await model?.close().catch(() => undefined);
    },
  };
}
