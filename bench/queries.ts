/**
 * How soon do entries answer what is asked of them, when there are many? Entries over 30 days are stored by RPC, some of
 * them late, and then asked for over HTTP in each documented way, with other values each time.
 *
 * Run: TEST_MONGODB_URL=mongodb://localhost:27017 bun bench/queries.ts [entries] [runs] [database]
 * (`bun run status` tells where a running platform has its MongoDB). It uses a database of its own, and drops it; one
 * that is named is kept, and what it holds already is not stored again.
 */
import type { LogHistogram, LogItem, LogPage } from "#contracts/log-queries";
import { RPC_LOG_BATCH } from "#contracts/logs";
import { connectRpc, makeDatabase, mongoUrl, startLogger } from "../logger/testing.ts";

const ENTRIES = Number(process.argv[2] ?? 1_000_000);
const RUNS = Number(process.argv[3] ?? 40);
const KEPT = process.argv[4];
const BATCH = 100;
const IN_FLIGHT = 2;
/** On a machine that is busy one may take longer than a call: it is sent again, and stored once. */
const TRIES = 10;
const DAY_MS = 86_400_000;
const SPAN_MS = 30 * DAY_MS;
const FILTER_BAR_MS = 100;
const TEXT_BAR_MS = 500;

/** Numbers that look random and are the same each time (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
const random = randomFrom(7);
/** A few are frequent and most are rare, as names and words are. */
const skewed = (count: number): number => Math.floor(count * random() ** 4);
const nameOf = (index: number): string => `event_${index}`;
const wordOf = (index: number): string => `word${index.toString(36)}`;
const NAMES = 60;
const WORDS = 20_000;
const USERS = 20_000;

function entryOf(index: number, startedAt: number) {
  const chance = random();
  // One in a hundred comes up to a day late.
  const late = random() < 0.01 ? random() * DAY_MS : random() * 2_000;
  return {
    event_id: Bun.randomUUIDv7(),
    name: nameOf(skewed(NAMES)),
    severity: chance < 0.9 ? "INFO" : chance < 0.98 ? "WARNING" : "ERROR",
    created_at: new Date(startedAt + (index / ENTRIES) * SPAN_MS - late).toISOString(),
    data: {
      user: { id: Math.floor(random() * USERS) },
      order: Bun.randomUUIDv7(),
      ms: Math.floor(random() * 1_000),
      message: Array.from({ length: 10 }, () => wordOf(skewed(WORDS))).join(" "),
    },
  };
}

await using own = KEPT === undefined ? await makeDatabase() : undefined;
const name = KEPT ?? own?.name ?? "";
await using logger = await startLogger(mongoUrl(name));
await logger.ready(600_000);
await using rpc = await connectRpc(logger);

async function fill(from: number): Promise<void> {
  const startedAt = Date.now() - SPAN_MS;
  let next = from;
  const send = async (): Promise<void> => {
    while (next < ENTRIES) {
      const first = next;
      next = Math.min(ENTRIES, first + BATCH);
      const batch = Array.from({ length: next - first }, (_, index) => entryOf(first + index, startedAt));
      for (let tries = 1; ; tries += 1) {
        const result = await rpc.call(RPC_LOG_BATCH, [batch]);
        if (result.ok && (result.value as { ok?: true }[]).every(({ ok }) => ok === true)) break;
        if (tries === TRIES) throw result.ok ? new Error("an entry was refused") : result.error;
      }
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, send));
}

async function ask<T>(path: string, query: Record<string, string | number>): Promise<T> {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) parameters.set(key, String(value));
  const answer = await fetch(`${logger.app.url}${path}?${parameters.toString()}`);
  const { message, data } = (await answer.json()) as { message: string; data: T };
  if (answer.status !== 200) throw new Error(message);
  return data;
}

/** What is kept of an earlier run. */
const before =
  KEPT === undefined
    ? 0
    : (await ask<LogHistogram>("/logs/histogram", { from: "2020-01-01T00:00:00Z", interval: "30d" })).total;
const filledAt = performance.now();
if (before < ENTRIES) await fill(before);
const fillS = (performance.now() - filledAt) / 1_000;
if (before < ENTRIES) {
  console.log(
    `${ENTRIES - before} entries stored in ${fillS.toFixed(0)} s: ${((ENTRIES - before) / fillS).toFixed(0)}/s`,
  );
}

const firstAt = performance.now();
const known = await ask<LogPage>("/logs", { limit: 500, to: new Date(Date.now() - random() * SPAN_MS).toISOString() });
console.log(
  `the first question, which reads the index of entries: ${((performance.now() - firstAt) / 1_000).toFixed(1)} s`,
);

const some = (): LogItem => known.items[Math.floor(random() * known.items.length)] as LogItem;
const time = (): number => Date.now() - SPAN_MS * random();
const range = (ms: number) => {
  const from = time();
  return { from: new Date(from).toISOString(), to: new Date(from + ms).toISOString() };
};
const userOf = ({ data }: LogItem): number => (data as { user: { id: number } }).user.id;
const frequent = (): string => wordOf(skewed(20));
const middling = (): string => wordOf(500 + Math.floor(random() * 1_000));
const rare = (): string => wordOf(WORDS - 1 - Math.floor(random() * 1_000));

type Question = Record<string, string | number>;
const FILTERS: Record<string, () => Question> = {
  "newest 50": () => ({}),
  "name, frequent": () => ({ name: nameOf(0) }),
  "name, rare": () => ({ name: nameOf(40 + Math.floor(random() * 20)) }),
  "severity ERROR": () => ({ severity: "ERROR" }),
  "name and severity": () => ({ name: nameOf(20 + Math.floor(random() * 40)), severity: "ERROR" }),
  "an hour in the past": () => range(3_600_000),
  "name in a past day": () => ({ name: nameOf(skewed(NAMES)), ...range(DAY_MS) }),
  trace_id: () => ({ trace_id: some().trace_id ?? "" }),
  request_id: () => ({ request_id: some().request_id ?? "" }),
  event_id: () => ({ event_id: some().event_id }),
  "a field of data (50 entries)": () => ({ "data.user.id": userOf(some()) }),
  "a field of data and severity": () => ({ "data.user.id": userOf(some()), severity: "WARNING" }),
  "nothing has it": () => ({ "data.user.id": -1 }),
};
const TEXTS: Record<string, () => Question> = {
  "a frequent word": () => ({ q: frequent() }),
  "a word in one of 1,000": () => ({ q: middling() }),
  "a rare word": () => ({ q: rare() }),
  "two words": () => ({ q: `${frequent()} ${middling()}` }),
  "a word and severity": () => ({ q: middling(), severity: "WARNING" }),
  "a word in a past week": () => ({ q: middling(), ...range(7 * DAY_MS) }),
  "a word that is nowhere": () => ({ q: `nowhere${Math.floor(random() * 1e9)}` }),
};

const at = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

async function measure(
  what: string,
  work: () => Promise<number>,
  all: number[],
): Promise<Record<string, string | number>> {
  const times: number[] = [];
  let found = 0;
  for (let run = 0; run < RUNS; run += 1) {
    const began = performance.now();
    found += await work();
    times.push(performance.now() - began);
  }
  all.push(...times);
  times.sort((a, b) => a - b);
  const shown = (share: number): string => at(times, share).toFixed(1);
  return {
    what,
    "found (mean)": Math.round(found / RUNS),
    "p50 ms": shown(0.5),
    "p95 ms": shown(0.95),
    "max ms": shown(1),
  };
}

async function group(title: string, questions: Record<string, () => Question>, barMs: number): Promise<void> {
  const all: number[] = [];
  const rows: Record<string, string | number>[] = [];
  for (const [what, question] of Object.entries(questions)) {
    rows.push(await measure(what, async () => (await ask<LogPage>("/logs", question())).items.length, all));
  }
  all.sort((a, b) => a - b);
  console.log(`\n${title}`);
  console.table(rows);
  const p95 = at(all, 0.95);
  console.log(
    `all of them: p50 ${at(all, 0.5).toFixed(1)} ms, p95 ${p95.toFixed(1)} ms; ${p95 < barMs ? "below" : "ABOVE"} ${barMs} ms`,
  );
}

await group(`Filters, pages of 50, over ${ENTRIES} entries`, FILTERS, FILTER_BAR_MS);
await group(`Words, pages of 50, over ${ENTRIES} entries`, TEXTS, TEXT_BAR_MS);

const others: number[] = [];
console.log("\nThe rest");
let cursor: string | undefined;
console.table([
  await measure(
    "the next page, 50 entries",
    async () => {
      const page = await ask<LogPage>("/logs", { severity: "WARNING", ...(cursor === undefined ? {} : { cursor }) });
      cursor = page.next_cursor;
      return page.items.length;
    },
    others,
  ),
  await measure(
    "histogram of 30 days",
    async () =>
      (await ask<LogHistogram>("/logs/histogram", { from: new Date(Date.now() - SPAN_MS).toISOString() })).total,
    others,
  ),
  await measure(
    "histogram of a word",
    async () =>
      (
        await ask<LogHistogram>("/logs/histogram", {
          from: new Date(Date.now() - SPAN_MS).toISOString(),
          q: middling(),
        })
      ).total,
    others,
  ),
]);

const exportAt = performance.now();
const answer = await fetch(`${logger.app.url}/logs/export?${new URLSearchParams(range(DAY_MS)).toString()}`);
const lines = (await answer.text()).split("\n").length - 2;
const exportS = (performance.now() - exportAt) / 1_000;
console.log(`export of a day: ${lines} entries in ${exportS.toFixed(1)} s, ${(lines / exportS).toFixed(0)}/s`);
console.log(`memory of this process: ${Math.round(process.memoryUsage.rss() / 1_048_576)} MiB`);
