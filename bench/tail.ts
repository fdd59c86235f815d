/**
 * What does it cost to be followed, and how soon is an entry told? Entries are stored by RPC at a logger of its own process while
 * nobody, one and ten follow; then the time from an entry's 202 at the broker (POST /handle) to its arrival at a subscriber of
 * the broker is taken, and the same from the RPC's answer where three loggers store and a broker merges them.
 *
 * Run: TEST_MONGODB_URL=mongodb://localhost:27017 bun bench/tail.ts [entries]
 * (`bun run status` tells where a running platform has its MongoDB). It uses a database of its own, and drops it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { RPC_LOG_INFO } from "#contracts/logs";
import { loadConfig } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { newContext } from "#shared/telemetry";
import { start } from "../broker/app.ts";
import { fields } from "../broker/config.ts";
import { follow, startLoggerProcess, startTail } from "../broker/tail/tail.test-kit.ts";

const ENTRIES = Number(process.argv[2] ?? 20_000);
const ROUNDS = 3;
const LATENCIES = 500;
const BAR_MS = 300;
const NOTE = "a note of some sixty characters, as log entries have them";

const mongodb = new URL(process.env["TEST_MONGODB_URL"] ?? "mongodb://localhost:27017");
mongodb.pathname = `/bench_tail_${Bun.randomUUIDv7().replaceAll("-", "").slice(0, 24)}`;

type LoggerProcess = Awaited<ReturnType<typeof startLoggerProcess>>;

async function storeAll(logger: LoggerProcess, entries: number): Promise<number> {
  const startedAt = performance.now();
  await logger.store(Array.from({ length: entries }, () => ({ name: "load", data: NOTE })));
  return entries / ((performance.now() - startedAt) / 1_000);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** In turns, so that what else happens on the machine happens to all of them. */
async function cost(logger: LoggerProcess): Promise<void> {
  const rates = new Map<number, number[]>([0, 1, 10].map((count) => [count, []]));
  const tail = startTail(() => [logger.url]);
  await storeAll(logger, ENTRIES);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [count, found] of rates) {
      // Of a filter each, so that the logger has as many subscribers.
      const tails = await Promise.all(
        Array.from({ length: count }, (_, index) => follow(tail.url, `name=load&name=other-${index}`)),
      );
      found.push(await storeAll(logger, ENTRIES));
      await Promise.all(tails.map((one) => one.leave()));
    }
  }
  await tail[Symbol.asyncDispose]();
  const alone = median(rates.get(0) ?? []);
  console.table(
    [...rates].map(([subscribers, found]) => ({
      subscribers,
      "entries/s": Math.round(median(found)),
      "of nobody's": (median(found) / alone).toFixed(2),
    })),
  );
}

function row(what: string, latencies: readonly number[]): { readonly p95: number; readonly told: object } {
  const order = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => order[Math.floor(order.length * share)] ?? Number.NaN;
  const told = {
    what,
    entries: order.length,
    "p50 ms": at(0.5).toFixed(1),
    "p95 ms": at(0.95).toFixed(1),
    "max ms": at(0.9999).toFixed(1),
  };
  return { p95: at(0.95), told };
}

/** Entries one after the other. `send` gives when each was accepted. */
async function latencies(url: string, name: string, send: (data: number) => Promise<number>): Promise<number[]> {
  const subscriber = await follow(url, `name=${name}`);
  const accepted: number[] = [];
  for (let data = 0; data < LATENCIES; data += 1) accepted.push(await send(data));
  for (let tries = 0; subscriber.entries.length < LATENCIES && tries < 200; tries += 1) await Bun.sleep(50);
  await subscriber.leave();
  if (subscriber.entries.length !== LATENCIES)
    throw new Error(`${subscriber.entries.length} of ${LATENCIES} were told`);
  return subscriber.entries.map((item, index) => (subscriber.at[index] ?? 0) - (accepted[Number(item.data)] ?? 0));
}

async function throughBroker(logger: LoggerProcess): Promise<number[]> {
  const spool = await mkdtemp(join(tmpdir(), "bench-tail-"));
  const config = loadConfig("broker", fields, {
    PORT: "0",
    LOGGER_URL: logger.url,
    LOGGER_RPC_URL: `tcp://127.0.0.1:${logger.rpcPort}`,
    SPOOL_DIR: spool,
  });
  const runtime = makeRuntime("broker", silentLog, () => undefined);
  const broker = await start(config, runtime);
  try {
    return await latencies(broker.url, "handled", async (data) => {
      const answer = await fetch(`${broker.url}/handle`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ action: "log", log: { name: "handled", data } }),
      });
      if (answer.status !== 202) throw new Error(`${answer.status} ${await answer.text()}`);
      return performance.now();
    });
  } finally {
    await broker[Symbol.asyncDispose]();
    await rm(spool, { recursive: true, force: true });
  }
}

async function merged(loggers: readonly LoggerProcess[]): Promise<number[]> {
  const tail = startTail(() => loggers.map(({ url }) => url));
  try {
    return await latencies(tail.url, "merged", async (data) => {
      const stored = await loggers[data % loggers.length]?.client.call(
        RPC_LOG_INFO,
        [{ name: "merged", data }],
        newContext(5_000),
      );
      if (stored?.ok !== true) throw stored?.error ?? new Error("no logger");
      return performance.now();
    });
  } finally {
    await tail[Symbol.asyncDispose]();
  }
}

const loggers = [await startLoggerProcess(mongodb.href)];
const [first] = loggers;
if (first === undefined) throw new Error("no logger");
try {
  await cost(first);
  const one = row("one logger, from the broker's 202", await throughBroker(first));
  loggers.push(await startLoggerProcess(mongodb.href), await startLoggerProcess(mongodb.href));
  const three = row("three loggers, from the RPC's answer", await merged(loggers));
  console.table([one.told, three.told]);
  console.log(`bar: p95 under ${BAR_MS} ms`);
  process.exitCode = one.p95 < BAR_MS && three.p95 < BAR_MS ? 0 : 1;
} finally {
  await Promise.all(loggers.map((logger) => logger[Symbol.asyncDispose]()));
  const client = await new MongoClient(mongodb.href).connect();
  await client.db().dropDatabase();
  await client.close();
}
