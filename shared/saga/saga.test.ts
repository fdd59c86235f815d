/** Sagas on a real PostgreSQL (TEST_POSTGRES_URL): what the table says after each thing that can happen. */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { fail } from "#shared/errors";
import { Deadline } from "#shared/resilience";
import { newContext } from "#shared/telemetry";
import { collectSpans } from "#shared/telemetry-testing";
import { again, defineSaga, done, operateSagas } from "./index.ts";
import {
  type Data,
  type Doing,
  HAS_SERVER,
  leaves,
  makeScene,
  NEEDS,
  type Scene,
  sagaOf,
  until,
  withServer,
} from "./scene.test-kit.ts";

setDefaultTimeout(30_000);
let scene: Scene;
beforeAll(async () => {
  if (HAS_SERVER) scene = await makeScene();
});
afterEach(() => scene?.quiet());
afterAll(() => scene?.[Symbol.asyncDispose]());

withServer(
  `steps run in order, each once, each result is kept; a wake spares the wait for the poll ${NEEDS}`,
  async () => {
    const saga = sagaOf();
    const { runner, metrics } = scene.run([saga], { pollMs: 60_000 });
    const id = await scene.begin(saga, runner);
    expect(await scene.ended(id, "done")).toMatchObject({
      data: { trail: ["one", "two", "three"] },
      step: null,
      claim: null,
    });
    const text = await metrics.text();
    expect(text).toContain(
      `saga_steps_total{saga="${saga.name}",step="two",direction="run",result="done",service="test"} 1`,
    );
    expect(text).toContain(`saga_ended_total{saga="${saga.name}",state="done",service="test"} 1`);
  },
);

withServer(`without a wake the poll finds it ${NEEDS}`, async () => {
  const saga = sagaOf();
  scene.run([saga], { pollMs: 100 });
  await scene.ended(await scene.begin(saga), "done");
});

withServer(
  `a saga of a transaction that is rolled back was never there; the same id twice is one ${NEEDS}`,
  async () => {
    const saga = sagaOf();
    const id = Bun.randomUUIDv7();
    const options = { deadline: Deadline.after(5_000), retry: false };
    const left = await scene.database.transaction(async (tx) => {
      await saga.start(tx, id, { trail: [] }, newContext());
      throw new Error("changed my mind");
    }, options);
    expect(left.ok).toBe(false);
    expect((await scene.sql`select 1 from sagas where id = ${id}`).length).toBe(0);
    const start = () => scene.database.transaction((tx) => saga.start(tx, id, { trail: [] }, newContext()), options);
    expect([await start(), await start()]).toEqual([
      { ok: true, value: true },
      { ok: true, value: false },
    ]);
  },
);

withServer(`refused: what was done is undone in reverse, with keys of its own ${NEEDS}`, async () => {
  const keys: string[] = [];
  const noting =
    (mark: string): Doing =>
    async ({ trail }, { key }) => {
      keys.push(key);
      return done<Data>({ trail: [...trail, mark] });
    };
  const saga = sagaOf({
    one: noting("one"),
    "undo one": noting("undo one"),
    three: async () => fail("invalid", "not this one"),
  });
  const { runner } = scene.run([saga]);
  const row = await scene.ended(await scene.begin(saga, runner), "compensated");
  expect(row.data.trail).toEqual(["one", "two", "undo two", "undo one"]);
  expect(row.reason).toBe("three: not this one");
  expect(new Set(keys).size).toBe(2);
});

withServer(`a neighbour that is away: tried until it is back, under one key; then on ${NEEDS}`, async () => {
  const keys: string[] = [];
  const saga = sagaOf({
    two: async ({ trail }, { key }) => {
      keys.push(key);
      return keys.length < 4 ? fail("unavailable", "away") : done<Data>({ trail: [...trail, "two"] });
    },
  });
  const { runner } = scene.run([saga]);
  const row = await scene.ended(await scene.begin(saga, runner), "done");
  expect(row.data.trail).toEqual(["one", "two", "three"]);
  expect([keys.length, new Set(keys).size]).toEqual([4, 1]);
});

withServer(
  `away beyond its age: given up and undone, the step itself included; its undo is tried until done ${NEEDS}`,
  async () => {
    let undos = 0;
    const saga = defineSaga<Data>({
      name: "aged",
      steps: [
        { name: "one", run: leaves("one"), undo: leaves("undo one") },
        {
          name: "two",
          run: async () => fail("unavailable", "away"),
          undo: async ({ trail }) => {
            undos += 1;
            return undos < 3 ? fail("unavailable", "away") : done<Data>({ trail: [...trail, "undo two"] });
          },
          giveUpAfterMs: 300,
        },
      ],
    });
    const { runner } = scene.run([saga]);
    const row = await scene.ended(await scene.begin(saga, runner), "compensated");
    expect(row).toMatchObject({ data: { trail: ["one", "undo two", "undo one"] }, reason: "two: away" });
  },
);

withServer(`not yet: looked at again when asked for, before the poll, and no failure ${NEEDS}`, async () => {
  const ages: number[] = [];
  const saga = sagaOf({
    two: async ({ trail }, { ageMs }) => {
      ages.push(ageMs);
      return ages.length < 4 ? again(50) : done<Data>({ trail: [...trail, "two"] });
    },
  });
  const { runner } = scene.run([saga], { pollMs: 60_000 });
  expect(await scene.ended(await scene.begin(saga, runner), "done")).toMatchObject({ failures: 0, error: null });
  expect(ages[0]).toBeLessThan(50);
  expect(ages[3]).toBeGreaterThanOrEqual(150);
});

withServer(`a step's own fault: stuck in the end, seen, and it goes on when an operator says so ${NEEDS}`, async () => {
  let broken = true;
  const saga = sagaOf({
    two: async ({ trail }) => {
      if (broken) throw new TypeError("a bug");
      return done<Data>({ trail: [...trail, "two"] });
    },
  });
  const { runner, metrics } = scene.run([saga], { pollMs: 50 });
  const id = await scene.begin(saga);
  // Its waits would take half a minute.
  await until(async () => {
    await scene.sql`update sagas set next_at = now() where id = ${id} and state = 'running'`;
    return (await scene.rowOf(id)).state === "stuck";
  });
  const row = await scene.rowOf(id);
  expect(row).toMatchObject({ step: "two", failures: 8, data: { trail: ["one"] } });
  expect(row.error).toContain("a bug");
  await until(async () => (await metrics.text()).includes(`sagas{saga="${saga.name}",state="stuck",service="test"} 1`));

  const operate = (...args: string[]) => operateSagas(scene.database, args, Deadline.after(3_000));
  const listed = await operate("list", "stuck");
  if (!listed.ok) throw listed.error;
  expect(listed.value.map((line) => JSON.parse(line) as object)).toContainEqual(
    expect.objectContaining({ id, name: saga.name, state: "stuck", step: "two" }),
  );
  broken = false;
  expect(await operate("retry", id)).toMatchObject({ ok: true });
  runner.wake();
  expect((await scene.ended(id, "done")).data.trail).toEqual(["one", "two", "three"]);
  expect(await operate("retry", id)).toMatchObject({ error: { code: "not_found" } });
  for (const wrong of [["retry"], ["retry", "x"], ["drop"], ["list", "odd"], ["list", "done", "more"]])
    expect(await operate(...wrong)).toMatchObject({ error: { code: "invalid" } });
});

withServer(`a step that cannot be undone is stuck half way back, and goes on back, not forward ${NEEDS}`, async () => {
  let broken = true;
  const saga = sagaOf({
    three: async () => fail("invalid", "no"),
    "undo two": async ({ trail }) =>
      broken ? fail("not_found", "nothing there") : done<Data>({ trail: [...trail, "undo two"] }),
  });
  const { runner } = scene.run([saga], { pollMs: 50 });
  const id = await scene.begin(saga);
  await until(async () => {
    await scene.sql`update sagas set next_at = now() where id = ${id} and state = 'compensating'`;
    return (await scene.rowOf(id)).state === "stuck";
  });
  broken = false;
  await operateSagas(scene.database, ["retry", id], Deadline.after(3_000));
  runner.wake();
  expect((await scene.ended(id, "compensated")).data.trail).toEqual(["one", "two", "undo two", "undo one"]);
});

withServer(
  `data that the database cannot store is the step's fault, and does not block the runner ${NEEDS}`,
  async () => {
    const large = sagaOf({ two: async () => done<Data>({ trail: ["x".repeat(300_000)] }) });
    const nul = sagaOf({ two: async () => done<Data>({ trail: ["\0"] }) });
    const well = sagaOf();
    const { runner } = scene.run([large, nul, well]);
    const ids = [await scene.begin(large), await scene.begin(nul)];
    await scene.ended(await scene.begin(well, runner), "done");
    for (const id of ids) {
      await until(async () => (await scene.rowOf(id)).failures > 0);
      expect(await scene.rowOf(id)).toMatchObject({ state: "running", step: "two", data: { trail: ["one"] } });
    }
  },
);

withServer(`sagas of a name or a step that this release does not have are left for one that has ${NEEDS}`, async () => {
  const other = sagaOf();
  const saga = sagaOf();
  const { runner } = scene.run([saga]);
  const foreign = await scene.begin(other);
  const ahead = await scene.begin(saga);
  await scene.sql`update sagas set step = 'four' where id = ${ahead}`;
  await scene.ended(await scene.begin(saga, runner), "done");
  await until(async () => (await scene.rowOf(ahead)).failures > 0);
  expect(await scene.rowOf(ahead)).toMatchObject({ state: "running", step: "four" });
  expect(await scene.rowOf(foreign)).toMatchObject({ state: "running", step: "one", failures: 0 });
  await scene.sql`delete from sagas where id = ${ahead}`;
});

withServer(`every try of a step is a span of the request that began the saga ${NEEDS}`, async () => {
  using seen = collectSpans();
  await using scene = await makeScene();
  let tries = 0;
  const within: string[] = [];
  const saga = sagaOf({
    two: async (_data, { trace }) => {
      tries += 1;
      within.push(trace.spanId);
      if (tries === 1) return fail("unavailable");
      return tries === 2 ? again(10) : done<Data>();
    },
    three: async () => fail("invalid", "no"),
  });
  const { runner } = scene.run([saga], { pollMs: 20 });
  const id = await scene.begin(saga, runner);
  await scene.ended(id, "compensated");
  const [row] = await scene.sql<{ traceparent: string }[]>`select traceparent from sagas where id = ${id}`;
  const [, traceId = "", parentId = ""] = row?.traceparent.split("-") ?? [];
  const spans = seen.spans.filter(({ trace }) => trace.traceId === traceId && trace.parentId === parentId);
  expect(spans.map(({ name, error }) => [name.replace(`saga ${saga.name} `, ""), error])).toEqual([
    ["one", undefined],
    ["two", "unavailable"],
    ["two", undefined],
    ["two", undefined],
    ["three", "invalid"],
    ["undo two", undefined],
    ["undo one", undefined],
  ]);
  expect(spans.slice(1, 4).map(({ trace }) => trace.spanId)).toEqual(within);
  expect(spans[2]?.attributes["platform.attempt"]).toBe(2);
  expect(Number(spans[3]?.attributes["platform.waited_ms"])).toBeGreaterThan(0);
});
