/** A Redis of a test's or a measurement's own, which it may kill and stop: `redis-server`, where this machine has one. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "#shared/config";
import { makeMetrics } from "#shared/telemetry";
import { makeRedis, type Redis, type RedisOptions } from "#shared/redis";

const PROGRAM = Bun.which("redis-server");
export const HAS_REDIS = PROGRAM !== null;
/** In the names of tests that are skipped without. */
export const NEEDS_REDIS = "(needs redis-server)";

export interface TestRedis extends AsyncDisposable {
  readonly url: string;
  /** Ends it at once; `up` starts another at the same address, with nothing in it. */
  kill(): Promise<void>;
  up(): Promise<void>;
  /** It is there and answers nothing, until it goes on. */
  hang(): void;
  goOn(): void;
  /** A client, as services have it, once it is connected. */
  connect(options?: Partial<RedisOptions>): Promise<Redis>;
}

function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

/** Looks every 10 ms until `look` is true. */
export async function until(what: string, look: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await look())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await Bun.sleep(10);
  }
}

async function listens(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

export async function startRedis(): Promise<TestRedis> {
  if (PROGRAM === null) throw new Error("there is no redis-server on this machine");
  const program = PROGRAM;
  const port = freePort();
  const dir = await mkdtemp(join(tmpdir(), "platform-redis-"));
  const url = `redis://127.0.0.1:${port}`;
  const spawn = () =>
    Bun.spawn([program, "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", dir], {
      stdout: "ignore",
      stderr: "ignore",
    });
  let server = spawn();
  const clients: Redis[] = [];
  const redis: TestRedis = {
    url,
    async kill() {
      server.kill("SIGKILL");
      await server.exited;
    },
    async up() {
      if (server.exitCode !== null || server.signalCode !== null) server = spawn();
      await until("redis-server listens", () => listens(port));
    },
    hang: () => server.kill("SIGSTOP"),
    goOn: () => server.kill("SIGCONT"),
    async connect(options = {}) {
      const metrics = makeMetrics("test", "0");
      metrics[Symbol.dispose]();
      const dependency = { up: () => undefined, down: () => undefined };
      const client = makeRedis({ url: new Secret(url), name: "test", metrics, dependency, ...options });
      clients.push(client);
      await until("connected to Redis", () => client.up);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client[Symbol.asyncDispose]();
      await redis.kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
  await redis.up();
  return redis;
}
