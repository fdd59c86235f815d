/** What people read of an experiment is what the history found: sums, seconds, reports. */
import { afterEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChaosReport } from "#contracts/chaos";
import { sumOf, verdictOf } from "./experiment.ts";
import type { Verdict } from "./history.ts";
import type { Sample } from "./load.ts";
import { makeMeter } from "./meter.ts";
import { markdownOf, openReports } from "./reports.ts";

const FOUND: Verdict = {
  accepted: 4,
  lost: [],
  twice: [],
  stored: 3,
  delivered: 1,
  failed: [],
  deadLettered: [],
  unrouted: [],
  queued: [],
  spooled: [],
  ambiguous: [],
  altered: [],
  wrongReceipts: [],
  drainMs: 12.4,
};
const TIMES = { backMs: 100.6, healMs: 200, brokerWasAway: false };
const sample = (status: number, at: number, ms: number, more: Partial<Sample> = {}): Sample => ({
  what: "log",
  status,
  at,
  ms,
  ...more,
});

test("an id that is nowhere is lost, one that is there more than once twice, and a dishonest answer is told", () => {
  const samples = [sample(202, 0, 5), sample(503, 10, 5), sample(0, 20, 5), sample(500, 30, 5)];
  const verdict = verdictOf({ ...FOUND, lost: ["a"], twice: ["b"], wrongReceipts: ["r"] }, 5, samples, TIMES);
  expect(verdict).toMatchObject({
    accepted: 5,
    lost: { count: 1, ids: ["a"] },
    twice: { count: 1, ids: ["b"] },
    refused: { 503: 1, none: 1, 500: 1 },
    back_ms: 101,
    drain_ms: 12,
  });
  expect(verdict.dishonest).toEqual(["1 × log: no answer", "1 × log: 500", "r"]);
  // A broker that is killed itself can't answer.
  const away = verdictOf(FOUND, 4, samples, { ...TIMES, brokerWasAway: true });
  expect(away.dishonest).toEqual(["1 × log: 500"]);
});

test("of several the numbers are summed, and the worst time counts: none where one was not in time", () => {
  const one = verdictOf({ ...FOUND, lost: ["a"] }, 4, [sample(503, 0, 1)], TIMES);
  const slow = verdictOf(FOUND, 4, [sample(503, 0, 1)], { ...TIMES, healMs: 900 });
  const late = verdictOf(FOUND, 4, [], { ...TIMES, healMs: undefined });
  expect(sumOf([one, slow])).toMatchObject({
    accepted: 8,
    stored: 6,
    lost: { count: 1 },
    heal_ms: 900,
    refused: { 503: 2 },
  });
  expect(sumOf([one, late])?.heal_ms).toBeUndefined();
  expect(sumOf([])).toBeUndefined();
});

test("a second has the answers that came in it, and what is summed begins anew with each load", () => {
  const meter = makeMeter(1_000);
  const samples = [sample(202, 0, 10), sample(202, 500, 40, { degraded: "logger=queued" }), sample(503, 900, 200)];
  meter.begin();
  meter.take(samples, 1_000);
  // Asked again it takes what is new only.
  samples.push(sample(0, 1_100, 50), sample(200, 1_200, 20, { what: "login" }));
  meter.take(samples, 1_000);
  expect(meter.samples).toEqual([
    { t: 0, accepted: 2, refused: 0, p95_ms: 40 },
    { t: 1, accepted: 1, refused: 2, p95_ms: 200 },
  ]);
  expect(meter.counters).toEqual({ calls: 5, degraded: 1, logins: 1, refused: 1, unanswered: 1 });
  meter.begin();
  meter.take([sample(0, 0, 1)], 4_000);
  expect(meter.counters).toMatchObject({ calls: 1, unanswered: 1 });
  expect(meter.samples.at(-1)).toEqual({ t: 3, accepted: 0, refused: 1, p95_ms: null });
});

const dirs: string[] = [];
afterEach(() => Promise.all(dirs.splice(0).map((dir) => rm(dir, { recursive: true, force: true }))));

function reportOf(id: string): ChaosReport {
  const verdict = verdictOf({ ...FOUND, lost: ["chaos-1"] }, 5, [], TIMES);
  const counters = { calls: 5, accepted: 5, degraded: 0, logins: 0, refused: 0, unanswered: 0 };
  const started_at = "2026-12-01T00:00:00.000Z";
  return {
    id,
    title: "kill of logger",
    outcome: "finished",
    started_at,
    took_ms: 9_000,
    verdict,
    results: [{ fault: "kill", part: "logger", fault_s: 2, outcome: "finished", started_at, counters, verdict }],
    seed: 1,
    rate: 20,
    machine: { platform: "linux", cores: 2, memory_mib: 8_000 },
    versions: { platform: "1", bun: "1", backing: {} },
    how: ["by sets"],
  };
}

test("the newest 50 reports are kept; what is none, or of another shape, is not shown", async () => {
  const dir = await mkdtemp(join(tmpdir(), "reports-"));
  dirs.push(dir);
  const reports = openReports(join(dir, "chaos"));
  expect(await reports.list()).toEqual([]);
  const ids = Array.from({ length: 52 }, () => Bun.randomUUIDv7());
  for (const id of ids) await reports.save(reportOf(id));
  expect((await reports.list()).map(({ id }) => id)).toEqual(ids.toReversed().slice(0, 50));
  expect((await reports.list())[0]).toMatchObject({ accepted: 5, lost: 1, twice: 0 });
  expect((await readdir(join(dir, "chaos"))).length).toBe(50);
  expect(await reports.read(ids[0] ?? "")).toBeUndefined();
  expect(await reports.read("../../etc/passwd")).toBeUndefined();
  await writeFile(join(dir, "chaos", `${ids[51]}.json`), "{}");
  expect((await reports.list()).length).toBe(49);
});

test("a report says in one line where everything is, and names what is not", () => {
  const text = markdownOf(reportOf(Bun.randomUUIDv7()));
  expect(text).toContain("**5 accepted = 3 stored + 1 delivered");
  expect(text).toContain("1 lost; 0 twice, 0 altered.**");
  expect(text).toContain("Of these: chaos-1");
  expect(text).toContain("| kill of logger, 2 s | finished | 5 | 3 | 1 | 1 | 0 | 0 | 0.2 s | 0.0 s |");
});
