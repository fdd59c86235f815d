/** The spool on a real disk: what it keeps, hands on, refuses. */
import { expect, test } from "bun:test";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { MESSAGE_LIMITS } from "#contracts/limits";
import { Failure } from "#shared/errors";
import { openSpool } from "#shared/spool";
import { makeMetrics } from "#shared/telemetry";
import { silentLog } from "#shared/log";
import { drained, eventually, makeReceiver, makeScene, range, recordOf } from "./scene.fixture.ts";

test("records come back after a restart as they went in: JSON of any shape, and bytes", async () => {
  await using scene = await makeScene();
  const bodies = [
    { text: "ü\u0000\ud800", deep: [[{ a: null }]], n: -0.5 },
    JSON.parse('{"__proto__":{"x":1},"constructor":2}') as unknown,
    "",
    0,
    null,
    false,
    [],
    new Uint8Array([0, 1, 255]),
    new Uint8Array(),
  ];
  {
    await using spool = await scene.open();
    for (const [at, body] of bodies.entries())
      expect(await spool.append(recordOf(at, body))).toMatchObject({ ok: true });
  }
  await using spool = await scene.open();
  expect(spool.records).toBe(bodies.length);
  const got = await drained(spool);
  expect(got).toEqual(bodies.map((body, at) => recordOf(at, body)));
  expect(JSON.stringify(got[1]?.body)).toBe('{"__proto__":{"x":1},"constructor":2}');
});

test("records are delivered oldest first, over several segments, and disk is given back", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open({ segmentBytes: 2_000 });
  for (const at of range(0, 20)) await Promise.all(range(at * 10, at * 10 + 10).map((n) => spool.append(recordOf(n))));
  expect(spool).toMatchObject({ records: 200, oldestAt: new Date(1_700_000_000_000) });
  const names = await readdir(join(scene.dir, "logs"));
  expect(names.filter((name) => name.endsWith(".seg")).length).toBeGreaterThan(5);
  expect((await drained(spool)).map(({ id }) => id)).toEqual(range(0, 200).map((n) => `id-${n}`));
  await eventually(() => spool.bytes === 0);
  expect(spool).toMatchObject({ records: 0, oldestAt: undefined });
  expect((await readdir(join(scene.dir, "logs"))).filter((name) => name.endsWith(".seg"))).toEqual([]);
});

test("a record above the limit, or of another shape, is refused and nothing is kept", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open();
  const loop: { self?: unknown } = {};
  loop.self = loop;
  const cases = [
    [recordOf(1, new Uint8Array(MESSAGE_LIMITS.bytes + 1)), "too_large"],
    [{ ...recordOf(1), body: undefined }, "invalid"],
    [recordOf(1, loop), "invalid"],
    [{ ...recordOf(1), id: "" }, "invalid"],
    [{ ...recordOf(1), id: "x".repeat(129) }, "invalid"],
    [{ ...recordOf(1), kind: "" }, "invalid"],
    [{ ...recordOf(1), at: "yesterday" }, "invalid"],
  ] as const;
  for (const [record, code] of cases) expect(await spool.append(record)).toMatchObject({ ok: false, error: { code } });
  expect(await spool.append(recordOf(2, new Uint8Array(MESSAGE_LIMITS.bytes)))).toMatchObject({ ok: true });
  expect(spool.records).toBe(1);
  expect((await drained(spool))[0]?.body).toEqual(new Uint8Array(MESSAGE_LIMITS.bytes));
});

test("a full spool answers unavailable with a time to retry, and takes records again once some are delivered", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open({ limitBytes: 10_000, segmentBytes: 2_000 });
  const results = await Promise.all(range(0, 200).map((n) => spool.append(recordOf(n))));
  const kept = results.filter(({ ok }) => ok).length;
  expect(kept).toBeGreaterThan(50);
  expect(kept).toBeLessThan(120);
  expect(results.at(-1)).toMatchObject({ ok: false, error: { code: "unavailable", retryAfterS: expect.any(Number) } });
  expect(spool.bytes).toBeLessThanOrEqual(10_000 + 32 * 10);
  expect(await drained(spool)).toHaveLength(kept);
  await eventually(() => spool.bytes === 0);
  expect(await spool.append(recordOf(1_000))).toMatchObject({ ok: true });
});

test("what arrives while a group is written is one group: a burst costs few fsyncs", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open();
  await Promise.all(range(0, 1_000).map((n) => spool.append(recordOf(n))));
  expect(await scene.metric("spool_fsync_seconds_count")).toBeLessThanOrEqual(3);
});

test("files are readable by their owner only", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open();
  await spool.append(recordOf(1));
  const dir = join(scene.dir, "logs");
  expect((await stat(dir)).mode & 0o777).toBe(0o700);
  for (const name of await readdir(dir)) expect((await stat(join(dir, name))).mode & 0o777).toBe(0o600);
});

test("a second writer is refused with the holder's process id, and let in when the first has gone", async () => {
  await using scene = await makeScene();
  const first = await scene.open();
  const refused = await scene.open().catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(Failure);
  expect(refused).toMatchObject({
    code: "conflict",
    message: expect.stringContaining(`in use by process ${process.pid}`),
  });
  await first[Symbol.asyncDispose]();
  await using second = await scene.open();
  expect(await second.append(recordOf(1))).toMatchObject({ ok: true });
});

test("records are handed on by one forwarder at a time", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open();
  const first = spool.forward(makeReceiver().deliver);
  expect(() => spool.forward(makeReceiver().deliver)).toThrow("forwarded already");
  await first[Symbol.asyncDispose]();
  const receiver = makeReceiver();
  spool.forward(receiver.deliver);
  await spool.append(recordOf(1));
  await receiver.until(1);
});

test("delivery stops at the first later, keeps the order, and goes on from there", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open();
  await Promise.all(range(0, 50).map((n) => spool.append(recordOf(n))));
  let away = true;
  let refusals = 0;
  const receiver = makeReceiver(({ id }) => {
    if (!away || id !== "id-30") return "delivered";
    refusals += 1;
    return "later";
  });
  await using forwarding = spool.forward(receiver.deliver, { batchRecords: 20, backoff: () => 600_000 });
  await receiver.until(30);
  await eventually(() => spool.records === 20);
  expect(spool.oldestAt).toEqual(new Date(1_700_000_000_030));
  for (const n of range(50, 70)) await spool.append(recordOf(n)); // does not end the pause
  expect(refusals).toBe(1);
  away = false;
  forwarding.wake();
  await receiver.until(70);
  expect(receiver.ids()).toEqual(range(0, 70).map((n) => `id-${n}`));
});

test("without being woken it tries again by itself, less and less often", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open();
  await spool.append(recordOf(1));
  const attempts: number[] = [];
  let tries = 0;
  const receiver = makeReceiver(() => ((tries += 1) <= 3 ? "later" : "delivered"));
  await using _ = spool.forward(receiver.deliver, {
    backoff: (attempt) => {
      attempts.push(attempt);
      return 1;
    },
  });
  await receiver.until(1);
  expect(attempts).toEqual([0, 1, 2]);
});

test("a delivery that throws, hangs, or answers for fewer records than it got, counts as later", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open();
  await spool.append(recordOf(1));
  let tries = 0;
  const receiver = makeReceiver();
  await using _ = spool.forward(
    (batch, signal) => {
      tries += 1;
      if (tries === 1) throw new Error("refused");
      if (tries === 2) return Promise.resolve([]);
      if (tries === 3) return new Promise(() => undefined);
      return receiver.deliver(batch, signal);
    },
    { backoff: () => 1, deliverMs: 20 },
  );
  await receiver.until(1);
  await eventually(() => spool.records === 0);
  expect(tries).toBe(4);
});

test("a record refused for good is kept with its reason, counted, and does not hold up the others", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open();
  await Promise.all([recordOf(1), recordOf(2), recordOf(3, new Uint8Array([7]))].map((record) => spool.append(record)));
  await using _ = spool.forward(async (batch) =>
    batch.map(({ id }) => (id === "id-2" ? "delivered" : { refused: "name: too long" })),
  );
  await eventually(() => spool.records === 0);
  const text = await Bun.file(join(scene.dir, "logs", "refused.ndjson")).text();
  expect(
    text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown),
  ).toMatchObject([
    { id: "id-1", kind: "log", reason: "name: too long", body: { text: "entry 1" } },
    { id: "id-3", reason: "name: too long", body_base64: "Bw==" },
  ]);
  expect(await scene.metric("spool_refused_total")).toBe(2);
  expect(await scene.metric("spool_replayed_total")).toBe(1);
});

test("with no room for refused records they are held, not dropped", async () => {
  await using scene = await makeScene();
  await using spool = await scene.open({ limitBytes: 600, segmentBytes: 200 });
  const refuse = { refused: "x".repeat(700) };
  await spool.append(recordOf(1));
  let tries = 0;
  await using _ = spool.forward(
    async (batch) => {
      tries += 1;
      return batch.map(() => refuse);
    },
    { backoff: () => 1 },
  );
  await eventually(() => tries > 3);
  expect(spool.records).toBe(1);
  expect(scene.lines.join("")).toContain("no room for refused records");
});

test("forwarding goes on after a restart where it stopped; what was delivered is not delivered again", async () => {
  await using scene = await makeScene();
  const first = makeReceiver(({ id }) => (id === "id-60" ? "later" : "delivered"));
  {
    await using spool = await scene.open({ segmentBytes: 1_000 });
    await Promise.all(range(0, 100).map((n) => spool.append(recordOf(n))));
    spool.forward(first.deliver, { batchRecords: 7 });
    await first.until(60);
  }
  await using spool = await scene.open();
  expect(spool).toMatchObject({ records: 40, oldestAt: new Date(1_700_000_000_060) });
  expect((await drained(spool)).map(({ id }) => id)).toEqual(range(60, 100).map((n) => `id-${n}`));
});

test("ids are known with their times while they are kept, and no longer once they are delivered", async () => {
  await using scene = await makeScene();
  const kept = range(0, 11).map((n) => (n >= 5 && n < 10 ? new Date(recordOf(n).at) : undefined));
  {
    await using spool = await scene.open();
    await Promise.all(range(0, 10).map((n) => spool.append(recordOf(n))));
    const receiver = makeReceiver(({ id }) => (id === "id-5" ? "later" : "delivered"));
    spool.forward(receiver.deliver);
    await receiver.until(5);
    await eventually(() => spool.records === 5);
    expect(range(0, 11).map((n) => spool.acceptedAt(`id-${n}`))).toEqual(kept);
  }
  await using spool = await scene.open();
  expect(range(0, 11).map((n) => spool.acceptedAt(`id-${n}`))).toEqual(kept);
});

test("disposing waits for what is being written, can be done twice, and appends are refused afterwards", async () => {
  await using scene = await makeScene();
  const spool = await scene.open();
  const pending = range(0, 100).map((n) => spool.append(recordOf(n)));
  await spool[Symbol.asyncDispose]();
  await spool[Symbol.asyncDispose]();
  const kept = (await Promise.all(pending)).filter(({ ok }) => ok).length;
  expect(await spool.append(recordOf(100))).toMatchObject({
    ok: false,
    error: { code: "unavailable", retryAfterS: expect.any(Number) },
  });
  await using again = await scene.open();
  expect(again.records).toBe(kept);
  expect(kept).toBe(100);
});

test("disposing lets the delivery in hand end, so that it is not repeated", async () => {
  await using scene = await makeScene();
  const started = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const spool = await scene.open();
  await spool.append(recordOf(1));
  spool.forward(async (batch) => {
    started.resolve();
    await finish.promise;
    return batch.map(() => "delivered");
  });
  await started.promise;
  const closing = spool[Symbol.asyncDispose]();
  finish.resolve();
  await closing;
  await using again = await scene.open();
  expect(again.records).toBe(0);
});

test("two spools of one process share the metrics, told apart by their label", async () => {
  await using scene = await makeScene();
  using metrics = makeMetrics("test", "0");
  await using logs = await openSpool({ dir: join(scene.dir, "logs"), log: silentLog, metrics });
  {
    await using events = await openSpool({ dir: join(scene.dir, "events"), log: silentLog, metrics });
    await Promise.all([logs.append(recordOf(1)), events.append(recordOf(1)), events.append(recordOf(2))]);
    const text = await metrics.text();
    expect(text).toContain('spool_records{spool="logs",service="test"} 1');
    expect(text).toContain('spool_records{spool="events",service="test"} 2');
  }
  expect(await metrics.text()).not.toContain('spool_records{spool="events"');
});
