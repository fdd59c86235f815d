/** Several runners on one table, and runners that end in the middle (TEST_POSTGRES_URL). */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { fail } from "#shared/errors";
import { done } from "./index.ts";
import { type Data, HAS_SERVER, makeScene, NEEDS, type Scene, sagaOf, until, withServer } from "./scene.test-kit.ts";

setDefaultTimeout(30_000);
let scene: Scene;
beforeAll(async () => {
  if (HAS_SERVER) scene = await makeScene();
});
afterEach(() => scene?.quiet());
afterAll(() => scene?.[Symbol.asyncDispose]());

/** What a step may wait for. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { passed: promise, open: resolve };
}
const never = (): Promise<void> => new Promise(() => undefined);

withServer(`three runners, 60 sagas: each step of each is run once ${NEEDS}`, async () => {
  const runs = new Map<string, number>();
  const counting =
    (mark: string) =>
    async ({ trail }: Data, { sagaId }: { sagaId: string }) => {
      const key = `${sagaId} ${mark}`;
      runs.set(key, (runs.get(key) ?? 0) + 1);
      return done<Data>({ trail: [...trail, mark] });
    };
  const saga = sagaOf({ one: counting("one"), two: counting("two"), three: counting("three") });
  const runners = [1, 2, 3].map(() => scene.run([saga], { pollMs: 20 }).runner);
  const ids = await Promise.all(Array.from({ length: 60 }, (_, index) => scene.begin(saga, runners[index % 3])));
  await Promise.all(ids.map((id) => scene.ended(id, "done")));
  expect(runs.size).toBe(180);
  expect([...runs.values()].filter((count) => count !== 1)).toEqual([]);
});

withServer(`no more sagas in hand than said; the rest waits in the table and follows at once ${NEEDS}`, async () => {
  let now = 0;
  let most = 0;
  const saga = sagaOf({
    one: async () => {
      now += 1;
      most = Math.max(most, now);
      await Bun.sleep(20);
      now -= 1;
      return done<Data>();
    },
  });
  const ids = await Promise.all(Array.from({ length: 12 }, () => scene.begin(saga)));
  scene.run([saga], { concurrent: 3, pollMs: 60_000 });
  await Promise.all(ids.map((id) => scene.ended(id, "done")));
  expect(most).toBe(3);
});

withServer(`a long step keeps its lease: nobody else runs it ${NEEDS}`, async () => {
  let runs = 0;
  const saga = sagaOf({
    one: async () => {
      runs += 1;
      await Bun.sleep(1_500);
      return done<Data>({ trail: ["one"] });
    },
  });
  const id = await scene.begin(saga);
  for (let count = 0; count < 2; count += 1) scene.run([saga], { leaseMs: 600, pollMs: 20 });
  await scene.ended(id, "done");
  expect(runs).toBe(1);
});

withServer(
  `who lost the lease writes nothing; who has it runs the step again, under the same key ${NEEDS}`,
  async () => {
    const late = gate();
    const middle = gate();
    const keys: string[] = [];
    let wasLate = false;
    let isInTwo = false;
    const saga = sagaOf({
      one: async (_data, { key }) => {
        keys.push(key);
        if (keys.length > 1) return done<Data>({ trail: ["by the second"] });
        await late.passed;
        wasLate = true;
        return done<Data>({ trail: ["by the first"] });
      },
      two: async ({ trail }) => {
        isInTwo = true;
        await middle.passed;
        return done<Data>({ trail: [...trail, "two"] });
      },
    });
    // It stands still, as far as anybody can see: it renews nothing, and the lease is over by the database's clock.
    const { runner: first } = scene.run([saga], { leaseMs: 60_000, pollMs: 20 });
    const id = await scene.begin(saga);
    await until(() => keys.length === 1);
    await scene.sql`update sagas set lease_until = now() where id = ${id}`;
    scene.run([saga], { pollMs: 20 });
    await until(() => isInTwo);
    late.open();
    await first[Symbol.asyncDispose]();
    expect(wasLate).toBe(true);
    expect((await scene.rowOf(id)).data.trail).toEqual(["by the second"]);
    middle.open();
    expect((await scene.ended(id, "done")).data.trail).toEqual(["by the second", "two", "three"]);
    expect([keys.length, new Set(keys).size]).toEqual([2, 1]);
  },
);

withServer(`a step whose lease was lost is told by its signal ${NEEDS}`, async () => {
  const told = gate();
  let runs = 0;
  const saga = sagaOf({
    one: async (_data, { deadline }) => {
      runs += 1;
      if (runs > 1) return done<Data>();
      deadline.signal.addEventListener("abort", () => told.open());
      await told.passed;
      return fail("deadline");
    },
  });
  scene.run([saga], { leaseMs: 300, pollMs: 20 });
  const id = await scene.begin(saga);
  await until(() => runs === 1);
  await scene.sql`update sagas set claim = gen_random_uuid(), lease_until = now() + interval '50 ms' where id = ${id}`;
  await told.passed;
  await scene.ended(id, "done");
});

withServer(`a process that ends again and again in the middle of one step: stuck, not for ever ${NEEDS}`, async () => {
  let runs = 0;
  const saga = sagaOf({
    one: async () => {
      runs += 1;
      return done<Data>();
    },
  });
  const id = await scene.begin(saga);
  // As twenty crashes leave it.
  await scene.sql`
    update sagas set interruptions = 19, claim = gen_random_uuid(), lease_until = now() where id = ${id}`;
  scene.run([saga], { pollMs: 20 });
  const row = await scene.ended(id, "stuck");
  expect(row).toMatchObject({ step: "one", error: "the process ended 20 times in the middle of this step" });
  expect(runs).toBe(0);
});

withServer(`a drain lets the step under way end and notes it; another runner goes on at once ${NEEDS}`, async () => {
  const slow = gate();
  const runs: string[] = [];
  const saga = sagaOf({
    one: async () => {
      runs.push("one");
      await slow.passed;
      return done<Data>({ trail: ["one"] });
    },
    two: async ({ trail }) => {
      runs.push("two");
      return done<Data>({ trail: [...trail, "two"] });
    },
  });
  const { runner } = scene.run([saga], { pollMs: 20 });
  const id = await scene.begin(saga);
  await until(() => runs.length === 1);
  const drained = runner[Symbol.asyncDispose]();
  slow.open();
  await drained;
  expect(await scene.rowOf(id)).toMatchObject({ state: "running", step: "two", claim: null, data: { trail: ["one"] } });
  expect(runs).toEqual(["one"]);
  scene.run([saga], { pollMs: 20 });
  await scene.ended(id, "done");
  expect(runs).toEqual(["one", "two"]);
});

withServer(`a drain cuts a step that does not end in time, and gives it back uncounted ${NEEDS}`, async () => {
  let began = false;
  const saga = sagaOf({
    one: async () => {
      began = true;
      await never();
      return done<Data>();
    },
  });
  const { runner } = scene.run([saga], { pollMs: 20 });
  const id = await scene.begin(saga);
  await until(() => began);
  const startedAt = performance.now();
  await runner[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(4_500);
  expect(await scene.rowOf(id)).toMatchObject({
    state: "running",
    step: "one",
    claim: null,
    failures: 0,
    interruptions: 0,
  });
});

withServer(`a step that takes too long is held and tried again ${NEEDS}`, async () => {
  let runs = 0;
  const saga = sagaOf({
    one: async () => {
      runs += 1;
      if (runs === 1) await never();
      return done<Data>({ trail: ["one"] });
    },
  });
  scene.run([saga], { stepMs: 100, pollMs: 20 });
  const row = await scene.ended(await scene.begin(saga), "done");
  expect([runs, row.data.trail]).toEqual([2, ["one", "two", "three"]]);
});

withServer(`the database away when a step is done: noted once that is back, and not run again ${NEEDS}`, async () => {
  const held = gate();
  let runs = 0;
  const saga = sagaOf({
    one: async () => {
      runs += 1;
      await held.passed;
      return done<Data>({ trail: ["one"] });
    },
  });
  scene.run([saga], { pollMs: 20 });
  const id = await scene.begin(saga);
  await until(() => runs === 1);
  await scene.sql`create sequence refused`;
  await scene.sql`create function refuse() returns trigger language plpgsql as
    $$ begin perform nextval('refused'); raise exception 'no' using errcode = '57P03'; end $$`;
  await scene.sql`create trigger away before update of state on sagas for each row execute function refuse()`;
  held.open();
  await until(async () => Number((await scene.sql`select last_value from refused`)[0]?.["last_value"]) > 2);
  expect(await scene.rowOf(id)).toMatchObject({ step: "one" });
  await scene.sql`drop trigger away on sagas`;
  await scene.ended(id, "done");
  expect(runs).toBe(1);
});
