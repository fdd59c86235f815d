/** Threads that hash: real ones, with hashes of the lowest cost, and one that crashes on demand. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "#shared/log";
import { Deadline } from "#shared/resilience";
import { makeMetrics, newContext } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";
import { type HashersOptions, makeHashers } from "./hashers.ts";

// Bounds a hang; a busy machine is allowed to be slow.
setDefaultTimeout(30_000);

const secret = new TextEncoder().encode("s3cret");
const cheap = { kind: "hash", secret, cost: 4 } as const;
/** About 100 ms: long enough to have others wait behind it. */
const slow = { kind: "hash", secret, cost: 10 } as const;
const soon = () => ({ deadline: Deadline.after(10_000) });

function crew(options: Partial<HashersOptions> = {}) {
  const metrics = makeMetrics("auth", "0");
  return { metrics, hashers: makeHashers({ threads: 1, line: 8, log: silentLog, metrics, ...options }) };
}

/** A thread that does what the first byte of the secret says: 0 throws, 1 exits, 2 takes 300 ms, else it answers. */
const source = `self.onmessage = ({ data }) => {
  if (data.secret[0] === 2) Bun.sleepSync(300);
  if (data.secret[0] === 0) throw new Error("thread broke");
  if (data.secret[0] === 1) process.exit(7);
  self.postMessage({ id: data.id, kind: "hash", hash: "done" });
};`;
const path = join(mkdtempSync(join(tmpdir(), "hashers-")), "breakable.js");
writeFileSync(path, source);
const spawn = () => new Worker(path);

test("a hash verifies with what it was made of, and with nothing else", async () => {
  const { hashers } = crew({ threads: 2 });
  await using _ = hashers;
  const made = await hashers.run(cheap, soon());
  if (!made.ok || made.value.kind !== "hash") throw new Error("no hash");
  const { hash } = made.value;
  const verify = (text: string) =>
    hashers.run({ kind: "verify", secret: new TextEncoder().encode(text), hash, cost: 4 }, soon());
  expect(await verify("s3cret")).toMatchObject({ value: { matches: true, malformed: false } });
  expect(await verify("other")).toMatchObject({ value: { matches: false } });
});

test("whose turn would come after his time is told so at once, and holds up nobody", async () => {
  const { hashers } = crew();
  await using _ = hashers;
  await hashers.run(slow, soon());
  const others = [slow, slow, slow].map((work) => hashers.run(work, soon()));
  const startedAt = performance.now();
  expect(await hashers.run(slow, { deadline: Deadline.after(60) })).toMatchObject({ error: { code: "overloaded" } });
  expect(performance.now() - startedAt).toBeLessThan(50);
  expect(hashers.waiting).toBe(2);
  expect((await Promise.all(others)).every(({ ok }) => ok)).toBe(true);
});

test("those who register have their turn among many who log in", async () => {
  const { hashers } = crew();
  await using _ = hashers;
  const done: string[] = [];
  const run = async (kind: "verify" | "hash", text: string): Promise<void> => {
    const reply = await hashers.run({ kind, secret, cost: 8, hash: undefined }, soon());
    done.push(reply.ok ? text : reply.error.code);
  };
  const logins = [1, 2, 3, 4, 5].map((n) => run("verify", `login ${n}`));
  const registrations = [1, 2].map((n) => run("hash", `registration ${n}`));
  await Promise.all([...logins, ...registrations]);
  const order = ["login 1", "registration 1", "login 2", "registration 2", "login 3", "login 4", "login 5"];
  expect(done).toEqual(order);
});

test("whoever would have no time left for what follows is refused, not checked in vain", async () => {
  const { hashers } = crew({ spawn });
  await using _ = hashers;
  const stall = { kind: "hash", secret: Uint8Array.of(2), cost: 4 } as const;
  await hashers.run(stall, soon());
  const running = hashers.run(stall, soon());
  const waiting = hashers.run(stall, soon());
  // Two of 300 ms before it, and its own: 900 ms, and then a session.
  expect(await hashers.run(stall, { deadline: Deadline.after(1_000) })).toMatchObject({
    error: { code: "overloaded" },
  });
  expect((await running).ok && (await waiting).ok).toBe(true);
});

test("who waits is told so as soon as it goes too slowly for him, and a stall is forgotten", async () => {
  const { hashers } = crew({ spawn });
  await using _ = hashers;
  const job = (first: number) => ({ kind: "hash", secret: new Uint8Array([first]), cost: 4 }) as const;
  const stall = hashers.run(job(2), soon());
  const [first, second] = [
    hashers.run(job(9), { deadline: Deadline.after(2_000) }),
    hashers.run(job(2), { deadline: Deadline.after(600) }),
  ];
  expect((await stall).ok).toBe(true);
  expect(await second).toMatchObject({ error: { code: "overloaded", retryAfterS: 1 } });
  expect((await first).ok).toBe(true);
  // One takes 300 ms, as far as is known.
  for (let n = 0; n < 3; n += 1) expect((await hashers.run(job(9), { deadline: Deadline.after(200) })).ok).toBe(true);
});

test("a full line is refused at once, and what waits too long is dropped without being done", async () => {
  const { hashers, metrics } = crew({ line: 2 });
  await using _ = hashers;
  const running = hashers.run({ ...slow, cost: 13 }, soon());
  const waiting = hashers.run(cheap, soon());
  // Just enough, as long as nothing is known of how long one takes.
  const impatient = hashers.run(cheap, { deadline: Deadline.after(240) });
  expect(await hashers.run(cheap, soon())).toMatchObject({ error: { code: "overloaded", retryAfterS: 1 } });
  expect(hashers.waiting).toBe(2);
  expect(await impatient).toMatchObject({ error: { code: "deadline" } });
  expect(hashers.waiting).toBe(1);
  expect((await running).ok && (await waiting).ok).toBe(true);
  expect(await metrics.text()).toContain('auth_hash_seconds_count{service="auth",kind="hash"} 2');
});

test.each([
  ["throws", 0],
  ["exits", 1],
])("a job under which a thread %s is tried once more, then failed; the others are done", async (_how, byte) => {
  const { hashers, metrics } = crew({ spawn });
  await using _ = hashers;
  const poison = hashers.run({ ...cheap, secret: new Uint8Array([byte]) }, soon());
  const innocent = hashers.run({ ...cheap, secret: new Uint8Array([9]) }, soon());
  expect(await poison).toMatchObject({ error: { code: "internal" } });
  expect(await innocent).toMatchObject({ value: { hash: "done" } });
  expect(await metrics.text()).toContain('auth_hash_thread_restarts_total{service="auth"} 2');
});

test("stopping fails what waits, ends the threads, and may be done twice", async () => {
  const { hashers } = crew();
  const running = hashers.run(slow, soon());
  const waiting = hashers.run(cheap, soon());
  await Promise.all([hashers[Symbol.asyncDispose](), hashers[Symbol.asyncDispose]()]);
  expect(await running).toMatchObject({ error: { code: "unavailable" } });
  expect(await waiting).toMatchObject({ error: { code: "unavailable" } });
  expect(await hashers.run(cheap, soon())).toMatchObject({ error: { code: "unavailable" } });
});

test("the event loop goes on while threads hash", async () => {
  const { hashers } = crew();
  await using _ = hashers;
  let turns = 0;
  const ticker = setInterval(() => {
    turns += 1;
  }, 1);
  await hashers.run(slow, soon());
  clearInterval(ticker);
  expect(turns).toBeGreaterThan(5);
});

test("a hash is a span of the request that needs it, and says how long it waited for a thread", async () => {
  using collected = collectSpans();
  const { hashers } = crew();
  await using _ = hashers;
  const context = newContext(10_000);
  await Promise.all([hashers.run(slow, soon()), hashers.run(cheap, context)]);
  const [span, ...others] = collected.spans;
  expect(others).toEqual([]);
  expect(span).toMatchObject({
    name: "bcrypt hash",
    kind: "internal",
    trace: { traceId: context.trace.traceId, parentId: context.trace.spanId },
  });
  expect(span?.attributes["hash.wait_ms"]).toBeGreaterThan(5);
});
