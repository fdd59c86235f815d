/**
 * Does the store tell exactly what is missing, how soon, and what do those who store meanwhile notice? 100,000 entries of
 * one producer are stored by RPC, three documents deleted behind the logger's back, and the gaps asked for over HTTP.
 *
 * Run: TEST_MONGODB_URL=mongodb://localhost:27017 bun bench/gaps.ts [entries]
 * (`bun run status` tells where a running platform has its MongoDB). It uses a database of its own, and drops it.
 */
import { randomInt } from "node:crypto";
import { type GapsReport, RPC_LOG_BATCH, RPC_LOG_INFO } from "#contracts/logs";
import { connectRpc, makeDatabase, mongoUrl, startLogger } from "../logger/testing.ts";

const ENTRIES = Number(process.argv[2] ?? 100_000);
const DELETED = 3;
const BATCH = 500;
const BAR_MS = 5_000;

interface Stored {
  latenciesMs: number[];
  failed: number;
}

await using database = await makeDatabase();
await using logger = await startLogger(mongoUrl(database.name));
await logger.ready();
await using client = await connectRpc(logger);

async function fill(): Promise<void> {
  const entry = (sequence: number) => ({
    name: "load",
    data: "a note of some sixty characters, as log entries have them",
    event_id: Bun.randomUUIDv7(),
    producer: { id: "bench", sequence },
  });
  for (let first = 1; first <= ENTRIES; first += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, ENTRIES - first + 1) }, (_, index) => entry(first + index));
    const result = await client.call(RPC_LOG_BATCH, [batch]);
    if (!result.ok) throw result.error;
  }
}

/** Stores one entry after the other until told to stop: what those notice who store while something else goes on. */
function storeMeanwhile(): { stop(): Promise<Stored> } {
  const stored: Stored = { latenciesMs: [], failed: 0 };
  const load = { going: true };
  const run = async (): Promise<void> => {
    while (load.going) {
      const startedAt = performance.now();
      const result = await client.call(RPC_LOG_INFO, [{ name: "meanwhile", data: "text" }]);
      stored.latenciesMs.push(performance.now() - startedAt);
      if (!result.ok) stored.failed += 1;
      await Bun.sleep(20);
    }
  };
  const running = run();
  return {
    async stop() {
      load.going = false;
      await running;
      return stored;
    },
  };
}

async function report(): Promise<{ data: GapsReport; ms: number }> {
  const startedAt = performance.now();
  const answer = await fetch(`${logger.app.url}/logs/gaps?producer=bench`);
  const { message, data } = (await answer.json()) as { message: string; data: GapsReport };
  if (answer.status !== 200) throw new Error(message);
  return { data, ms: performance.now() - startedAt };
}

function row(what: string, { latenciesMs, failed }: Stored): Record<string, string | number> {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1);
  return { what, calls: sorted.length, failed, "p50 ms": at(0.5), "p99 ms": at(0.99), "max ms": at(0.9999) };
}

const startedAt = performance.now();
await fill();
console.log(`${ENTRIES} entries stored in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
await Bun.sleep(1_500);

const gone = new Set<number>();
while (gone.size < DELETED) gone.add(randomInt(1, ENTRIES + 1));
for (const sequence of gone) {
  const { deletedCount } = await database.logs.deleteOne({ producer_id: "bench", sequence });
  if (deletedCount !== 1) throw new Error(`number ${sequence} was not there`);
}

const alone = storeMeanwhile();
await Bun.sleep(2_000);
const before = await alone.stop();
const { data, ms } = await report();
const beside = storeMeanwhile();
const second = await report();
const during = await beside.stop();

const named = (data.items[0]?.missing_ranges ?? []).flatMap(([first, last]) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index),
);
const expected = [...gone].sort((a, b) => a - b);
const exact = JSON.stringify(named) === JSON.stringify(expected);
console.log(`deleted ${expected.join(", ")}; named ${named.join(", ")}: ${exact ? "exactly those" : "WRONG"}`);
console.log(`${data.entries} entries looked at in ${Math.round(ms)} ms (bar: ${BAR_MS} ms)`);
console.log(`while entries are stored: ${Math.round(second.ms)} ms`);
console.table([row("LogInfo alone", before), row("LogInfo during a report", during)]);
process.exitCode = exact && ms < BAR_MS ? 0 : 1;
