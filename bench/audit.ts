/**
 * What does the chain of the audit trail cost those who store audit entries, and what those who store others? The same
 * entries by the same calls, named `audit` and named otherwise, in turns; medians of the rounds, side by side.
 *
 * Run: TEST_MONGODB_URL=mongodb://localhost:27017 bun bench/audit.ts [entries a round] [rounds]
 * (`bun run status` tells where a running platform has its MongoDB). It uses a database of its own, and drops it.
 */
import { RPC_LOG_BATCH, RPC_LOG_INFO } from "#contracts/logs";
import { connectRpc, makeDatabase, mongoUrl, startLogger } from "../logger/testing.ts";

const ENTRIES = Number(process.argv[2] ?? 5_000);
const ROUNDS = Number(process.argv[3] ?? 5);

await using database = await makeDatabase();
await using logger = await startLogger(mongoUrl(database.name));
await logger.ready(60_000);
await using client = await connectRpc(logger);

const entryOf = (name: string) => ({
  name,
  data: { action: "user.changed", by: "user:17", user_id: 4711, at: new Date().toISOString() },
  event_id: Bun.randomUUIDv7(),
});

/** `callers` that each make one call after the other. @returns entries a second. */
async function rateOf(name: string, callers: number, entries: number, batch: number): Promise<number> {
  let left = entries;
  const startedAt = performance.now();
  const run = async (): Promise<void> => {
    while (left > 0) {
      left -= batch;
      const given = Array.from({ length: batch }, () => entryOf(name));
      const result =
        batch === 1 ? await client.call(RPC_LOG_INFO, given) : await client.call(RPC_LOG_BATCH, [given], 20_000);
      if (!result.ok) throw result.error;
    }
  };
  await Promise.all(Array.from({ length: callers }, run));
  return entries / ((performance.now() - startedAt) / 1_000);
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

const WAYS = [
  { way: "1 caller, one by one", callers: 1, batch: 1, share: 0.02 },
  { way: "64 callers, one by one", callers: 64, batch: 1, share: 0.5 },
  { way: "512 callers, one by one", callers: 512, batch: 1, share: 1 },
  { way: "8 callers, batches of 250", callers: 8, batch: 250, share: 1 },
];

for (const name of ["audit", "other"]) await rateOf(name, 64, 500, 1);
const rows = [];
for (const { way, callers, batch, share } of WAYS) {
  const entries = Math.max(batch, Math.round(ENTRIES * share));
  const rates: Record<string, number[]> = { audit: [], other: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    // In turns, and each first as often as the other: the machine's other work is the same for both.
    for (const name of round % 2 === 0 ? ["audit", "other"] : ["other", "audit"]) {
      rates[name]?.push(await rateOf(name, callers, entries, batch));
    }
  }
  const [audit, other] = [median(rates["audit"] ?? []), median(rates["other"] ?? [])];
  rows.push({
    way,
    "other /s": Math.round(other),
    "audit /s": Math.round(audit),
    "audit : other": (audit / other).toFixed(2),
  });
}
console.table(rows);
