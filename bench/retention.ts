/**
 * What do those who store notice while a large part of the log is removed? Entries are stored by many callers at once, first
 * with nothing to remove, then with very many entries whose time is over, in turns.
 *
 * Run: TEST_MONGODB_URL=mongodb://localhost:27017 bun bench/retention.ts [entries to remove]
 * (`bun run status` tells where a running platform has its MongoDB). It uses databases of its own, and drops them.
 */
import { RPC_LOG_BATCH, RPC_LOG_INFO } from "#contracts/logs";
import { connectRpc, makeDatabase, mongoUrl, startLogger } from "../logger/testing.ts";

const ENTRIES = Number(process.argv[2] ?? 20_000);
const CALLERS = 64;
const ROUND_MS = 8_000;
const ROUNDS = 3;
const BATCH = 100;
const DATA = "a note of some sixty characters, as log entries have them";

await using database = await makeDatabase();
/** The logger's clock of retention, ahead of the real one when something is to be due. */
let aheadMs = 0;
await using logger = await startLogger(
  mongoUrl(database.name),
  { RETENTION: "name:old=1h" },
  { retention: { now: () => Date.now() + aheadMs, everyMs: 500 } },
);
await logger.ready();
await using client = await connectRpc(logger);

for (let first = 1; first <= ENTRIES; first += BATCH) {
  const batch = Array.from({ length: Math.min(BATCH, ENTRIES - first + 1) }, (_, at) => ({
    name: "old",
    data: DATA,
    producer: { id: "bench", sequence: first + at },
  }));
  const stored = await client.call(RPC_LOG_BATCH, [batch]);
  if (!stored.ok) throw stored.error;
}
const left = (): Promise<number> => database.logs.countDocuments({ name: "old" });
console.log(`${await left()} entries are to be removed`);

interface Round {
  rate: number;
  p50: number;
  p99: number;
  failed: number;
}

/** Stores as fast as it goes for a while. */
async function load(): Promise<Round> {
  const times: number[] = [];
  let failed = 0;
  const startedAt = performance.now();
  const call = async (): Promise<void> => {
    while (performance.now() - startedAt < ROUND_MS) {
      const before = performance.now();
      const result = await client.call(RPC_LOG_INFO, [{ name: "new", data: DATA }]);
      times.push(performance.now() - before);
      if (!result.ok) failed += 1;
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, call));
  const seconds = (performance.now() - startedAt) / 1_000;
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? 0;
  return { rate: Math.round(times.length / seconds), p50: at(0.5), p99: at(0.99), failed };
}

const rows: Record<string, string | number>[] = [];
const rates = { alone: [] as number[], removing: [] as number[] };
let removed = 0;
let removingMs = 0;
await load();
for (let round = 1; round <= ROUNDS; round += 1) {
  for (const what of ["alone", "removing"] as const) {
    aheadMs = what === "removing" ? 2 * 3_600_000 : 0;
    const before = await logger.metric("logger_retention_removed_total");
    const { rate, p50, p99, failed } = await load();
    const gone = (await logger.metric("logger_retention_removed_total")) - before;
    if (what === "removing") {
      removed += gone;
      removingMs += ROUND_MS;
    }
    rates[what].push(rate);
    rows.push({ what, "stored/s": rate, "p50 ms": p50.toFixed(1), "p99 ms": p99.toFixed(1), failed, removed: gone });
  }
}
console.table(rows);
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
console.log(`storing while removing: ${(median(rates.removing) / median(rates.alone)).toFixed(2)} of the rate alone`);
console.log(`removed meanwhile: ${Math.round(removed / (removingMs / 1_000))} entries a second`);
aheadMs = 2 * 3_600_000;
const startedAt = performance.now();
const rest = await left();
while ((await left()) > 0 && performance.now() - startedAt < 300_000) await Bun.sleep(500);
const seconds = (performance.now() - startedAt) / 1_000;
if (rest > 0) console.log(`the other ${rest} with nobody storing: ${Math.round(rest / seconds)} a second`);
const answer = await fetch(`${logger.app.url}/logs/gaps?producer=bench`);
const { data } = (await answer.json()) as { data: { items: { removed?: number; missing: number }[] } };
const [item] = data.items;
console.log(`the report of gaps: ${item?.removed} removed, ${item?.missing} missing`);
process.exitCode = item?.missing === 0 ? 0 : 1;
