/** One connection to Redis that never makes anybody wait: an answer within 50 ms, or none; back by itself. */
import { createHash } from "node:crypto";
import { Redis as Client } from "ioredis";
import type { Secret } from "#shared/config";
import { fail, messageOf, ok, type Result } from "#shared/errors";
import type { Dependency } from "#shared/lifecycle";
import { pause, reconnectBackoff } from "#shared/resilience";
import type { Metrics } from "#shared/telemetry";
import { liveTls } from "#shared/tls";

/** Longest wait for an answer (ms): Redis in the same network needs less than one. */
const ANSWER_MS = 50;
/** How long a late answer may still lie unread in our own socket (ms), because it is this process that was slow. */
const GRACE_MS = 10;
/** Commands under way at most; more fail at once. */
const MAX_IN_FLIGHT = 10_000;
const CONNECT_MS = 1_000;
/** A connection on which an answer is outstanding and nothing arrives is given up after that (ms). */
const SILENCE_MS = 1_000;
/** How often it is looked whether Redis is well (ms): while it is in use, and while it is not. */
const LOOK_MS = 1_000;
const LOOK_AGAIN_MS = 200;

/** A Lua script, and the name that the server keeps it under. */
export interface Script {
  readonly lua: string;
  readonly sha1: string;
}

/** Those of this process: a server is given them before it is used. */
const scripts: Script[] = [];

/** For modules, once. @param lua reads KEYS and ARGV, and answers integers, texts or arrays of them. */
export function script(lua: string): Script {
  const made = { lua, sha1: createHash("sha1").update(lua).digest("hex") };
  scripts.push(made);
  return made;
}

type Argument = string | number | Buffer;

export interface Redis extends AsyncDisposable {
  /** Whether it is asked at all: false from the first answer that did not come until a probe is answered. */
  readonly up: boolean;
  /** @returns the answer; failure `unavailable` at once while Redis is away, and after 60 ms where it goes silent. */
  command(name: string, ...args: Argument[]): Promise<Result<unknown>>;
  /** The same for a script, which is one step to everybody else. All keys have to be on one server: Redis Cluster is not for this. */
  run(code: Script, keys: readonly string[], args: readonly Argument[]): Promise<Result<unknown>>;
}

export interface RedisOptions {
  /** `redis://user:password@host:port/database`, `rediss://` for TLS (as the process trusts). */
  readonly url: Secret;
  /** As the connection calls itself in CLIENT LIST: the name of the service. */
  readonly name: string;
  readonly metrics: Metrics;
  readonly dependency: Pick<Dependency, "up" | "down">;
  /** Longest wait for an answer (ms, default 50). */
  readonly answerMs?: number;
}

/** For `rediss://` only, since the client would speak TLS to any server with it. */
function tlsOf(url: Secret) {
  if (!/^rediss:/i.test(url.reveal())) return {};
  return { tls: liveTls({ minVersion: "TLSv1.2" as const }) };
}

/** The probe writes: a server that is full or a replica that may only be read is of no use here. */
const PROBE = ["platform:probe", "1", "PX", "60000"] as const;

export function makeRedis({ url, name, metrics, dependency, answerMs = ANSWER_MS }: RedisOptions): Redis {
  const durations = metrics.histogram("redis_command_seconds", "Time to an answer of Redis, or to giving up.", [
    "result",
  ]);
  const closing = new AbortController();
  const client = new Client(url.reveal(), {
    connectionName: name,
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENCE_MS,
    // What cannot be sent now fails now, and what was sent is never sent again.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (attempt) => reconnectBackoff(attempt - 1),
    reconnectOnError: null,
    keepAlive: 10_000,
    ...tlsOf(url),
  });
  let up = false;
  let inFlight = 0;
  let lastError: unknown;

  function down(error: unknown): void {
    up = false;
    dependency.down(error);
  }

  client.on("error", (error: Error) => {
    lastError = error;
  });
  client.on("close", () => {
    if (!closing.signal.aborted) down(lastError ?? new Error("the connection was closed"));
  });

  /** @throws what the server refused with, or that it did not answer. */
  async function answered<T>(asked: Promise<T>): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    let timer = setTimeout(() => {
      timer = setTimeout(() => reject(new Error(`no answer within ${answerMs} ms`)), GRACE_MS);
    }, answerMs);
    try {
      return await Promise.race([asked, late]);
    } finally {
      clearTimeout(timer);
      asked.catch(() => undefined); // Late: of no interest any more.
    }
  }

  async function ask<T>(work: () => Promise<T>): Promise<Result<T>> {
    if (inFlight >= MAX_IN_FLIGHT) return fail("unavailable", "Redis: too many commands under way");
    const startedAt = performance.now();
    const observe = (result: string): void => durations.observe({ result }, (performance.now() - startedAt) / 1_000);
    inFlight += 1;
    try {
      const value = await answered(work());
      observe("ok");
      return ok(value);
    } catch (error) {
      observe("failed");
      // A refusal of this one command is an answer, and says nothing of the next.
      if (!(error instanceof Error && error.name === "ReplyError")) down(error);
      return fail("unavailable", `Redis: ${messageOf(error)}`, { cause: error });
    } finally {
      inFlight -= 1;
    }
  }

  async function look(): Promise<void> {
    const { signal } = closing;
    while (!signal.aborted) {
      if (client.status === "ready") {
        // A script that the server does not know yet would be done after what was asked behind it.
        const probed = await ask(async () => {
          if (!up) await Promise.all(scripts.map(({ lua }) => client.script("LOAD", lua)));
          return client.set(...PROBE);
        });
        if (signal.aborted) return;
        if (probed.ok) {
          up = true;
          dependency.up();
        } else down(probed.error);
      } else if (lastError !== undefined) down(lastError);
      await pause(up ? LOOK_MS : LOOK_AGAIN_MS, signal);
    }
  }

  const looking = look();
  const away = (): Result<never> => fail("unavailable", "Redis is away");

  async function evaluate(code: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    try {
      return await client.evalsha(code.sha1, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return client.eval(code.lua, keys.length, ...keys, ...args);
    }
  }

  return {
    get up() {
      return up;
    },
    command: async (command, ...args) => (up ? ask(() => client.call(command, ...args)) : away()),
    run: async (code, keys, args) => (up ? ask(() => evaluate(code, keys, args)) : away()),
    async [Symbol.asyncDispose]() {
      closing.abort();
      client.disconnect();
      await looking;
    },
  };
}
