/**
 * How many records a second does the spool keep durably, one at a time and many at once, and how fast does it hand
 * them on? Prints a table. `bun bench/spool.ts [directory]`; the directory (default: the system's temporary one)
 * decides the figures: they are the disk's. Bounded: about 10 s, at most 256 MiB.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "#shared/log";
import { openSpool, type SpoolRecord } from "#shared/spool";
import { makeMetrics } from "#shared/telemetry";

const ROUND_MS = 1_000;
const body = { name: "bench", severity: "INFO", data: "x".repeat(200) };

function recordOf(): SpoolRecord {
  return { id: Bun.randomUUIDv7(), kind: "log", at: new Date().toISOString(), body };
}

function percentile(sorted: readonly number[], share: number): string {
  return (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1);
}

interface Row {
  what: string;
  per_second: number;
  p50_ms: string;
  p99_ms: string;
  /** Longest time that a 1 ms timer was late meanwhile. */
  loop_late_ms: string;
}

/** Runs `work` until the round is over, `callers` at once; times each. */
async function timed(what: string, callers: number, work: () => Promise<void>): Promise<Row> {
  const times: number[] = [];
  const startedAt = performance.now();
  const endsAt = startedAt + ROUND_MS;
  let late = 0;
  let due = startedAt + 1;
  const ticker = setInterval(() => {
    const now = performance.now();
    late = Math.max(late, now - due);
    due = now + 1;
  }, 1);
  const caller = async (): Promise<void> => {
    while (performance.now() < endsAt) {
      const at = performance.now();
      await work();
      times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  clearInterval(ticker);
  const seconds = (performance.now() - startedAt) / 1_000;
  times.sort((a, b) => a - b);
  return {
    what,
    per_second: Math.round(times.length / seconds),
    p50_ms: percentile(times, 0.5),
    p99_ms: percentile(times, 0.99),
    loop_late_ms: late.toFixed(1),
  };
}

const dir = await mkdtemp(join(process.argv[2] ?? tmpdir(), "spool-bench-"));
using metrics = makeMetrics("bench", "0");
try {
  const rows: Row[] = [];
  await using spool = await openSpool({ dir, log: silentLog, metrics });
  for (const callers of [1, 8, 64, 512]) {
    const row = await timed(`append, ${callers} at once`, callers, async () => {
      const kept = await spool.append(recordOf());
      if (!kept.ok) throw kept.error;
    });
    rows.push(row);
  }
  const kept = spool.records;
  const done = Promise.withResolvers<void>();
  const startedAt = performance.now();
  let left = kept;
  await using _ = spool.forward((batch) => {
    left -= batch.length;
    if (left === 0) done.resolve();
    return Promise.resolve(batch.map(() => "delivered"));
  });
  await done.promise;
  const perSecond = Math.round(kept / ((performance.now() - startedAt) / 1_000));
  rows.push({
    what: `forward ${kept}, batches of 200`,
    per_second: perSecond,
    p50_ms: "",
    p99_ms: "",
    loop_late_ms: "",
  });
  console.table(rows);
} finally {
  await rm(dir, { recursive: true, force: true });
}
