/** What opens a circuit and what does not, who probes it, what is repeated, who waits. */
import { expect, setSystemTime, test } from "bun:test";
import { CircuitState } from "cockatiel";
import { fail, ok, type Result } from "#shared/errors";
import { Deadline, makeEdge } from "#shared/resilience";
import { openTime } from "./open-time.ts";
import { RollingBreaker } from "./rolling.ts";

const ATTEMPT_MS = 200;
const edge = () =>
  makeEdge({
    name: "a→b",
    attemptMs: ATTEMPT_MS,
    totalMs: 1_000,
    concurrent: 100,
    minimumCalls: 10,
    openMs: 50,
    maxOpenMs: 100,
  });
const away = async (): Promise<Result<void>> => fail("unavailable");
/** One that never answers: the failure is the caller's clock, as a client of ours tells it. */
const silent = (deadline: Deadline): Promise<Result<void>> =>
  new Promise((resolve) => {
    deadline.signal.addEventListener("abort", () => resolve(fail("deadline")));
  });
const all = <T>(count: number, call: () => Promise<T>) => Promise.all(Array.from({ length: count }, call));

test("a part that is away, or silent for the whole time of a try, opens the circuit", async () => {
  for (const work of [away, silent]) {
    const tried = edge();
    await all(20, () => tried.run(Deadline.after(5_000), work));
    expect(tried.state).toBe("open");
  }
});

test("callers without patience do not open the circuit for the others", async () => {
  const tried = edge();
  await all(50, () => tried.run(Deadline.after(20), silent));
  await all(50, () => tried.run(Deadline.after(0), async () => fail("deadline", "no time left")));
  // One that gives up a little early, since an answer needs time too.
  await all(50, () => tried.run(Deadline.after(100), async () => fail("deadline", "no time left")));
  expect(tried.state).toBe("closed");
  expect(await tried.run(Deadline.after(5_000), async () => ok("served"))).toEqual(ok("served"));
});

test("callers who go away do not open the circuit for the others", async () => {
  const tried = edge();
  const gone = new AbortController();
  const calls = all(50, () => tried.run(Deadline.after(5_000, gone.signal), silent));
  gone.abort();
  await calls;
  expect(tried.state).toBe("closed");
});

/** An edge whose circuit is open, over a part that answers again as `work` says. */
async function opened() {
  const tried = edge();
  await all(20, () => tried.run(Deadline.after(5_000), away));
  expect(tried.state).toBe("open");
  return tried;
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const endsAt = performance.now() + 5_000;
  while (!(await holds())) {
    if (performance.now() > endsAt) throw new Error("not within 5 s");
    await Bun.sleep(5);
  }
}

test("the first call after the pause closes the circuit again, even one whose caller has little time or goes away", async () => {
  const tried = await opened();
  const slowly = async () => {
    await Bun.sleep(40);
    return ok();
  };
  await until(async () => {
    // Each of these callers has gone before the answer is there.
    expect(await tried.run(Deadline.after(10), slowly)).toMatchObject({ ok: false });
    return tried.state !== "open";
  });
  await until(() => tried.state === "closed");
});

test("a step of the wall clock neither prolongs nor ends the time that a circuit is open", async () => {
  let now = 5_000;
  const first = openTime(
    (attempt) => 100 * (attempt + 1),
    () => now,
  ).next(undefined);
  expect(3_600_000 < first.duration).toBe(true);
  now += 100;
  expect(-3_600_000 < first.duration).toBe(false);
  const second = first.next(undefined);
  now += 199;
  expect(3_600_000 < second.duration).toBe(true);
  now += 1;
  expect(-3_600_000 < second.duration).toBe(false);

  const tried = await opened();
  try {
    setSystemTime(Date.now() - 3_600_000);
    await until(async () => (await tried.run(Deadline.after(5_000), async () => ok())).ok);
    expect(tried.state).toBe("closed");
  } finally {
    setSystemTime();
  }
});

test("while one call probes, the others are refused at once", async () => {
  const tried = await opened();
  const answer = Promise.withResolvers<Result<string>>();
  let asked = 0;
  const calls: Promise<Result<string>>[] = [];
  const call = () => tried.run(Deadline.after(5_000), () => ((asked += 1), answer.promise));
  await until(() => {
    calls.push(call());
    return asked === 1;
  });
  expect(await call()).toMatchObject({ ok: false, error: { code: "unavailable", retryAfterS: 1 } });
  answer.resolve(ok("well"));
  expect(await calls.at(-1)).toEqual(ok("well"));
  expect([asked, tried.state]).toEqual([1, "closed"]);
});

test("more than half of enough calls within 10 s open the circuit; few calls, half of them, or old ones do not", () => {
  let now = 0;
  const sick = (calls: string, breaker = new RollingBreaker(4, () => now)) => {
    let opens = false;
    for (const call of calls) {
      if (call === "-") opens = breaker.failure(CircuitState.Closed);
      else breaker.success(CircuitState.Closed);
    }
    return opens;
  };
  expect(sick("+-")).toBe(false);
  expect(sick("---")).toBe(false);
  expect(sick("++--")).toBe(false);
  expect(sick("+---")).toBe(true);
  const quiet = new RollingBreaker(4, () => now);
  expect(sick("---", quiet)).toBe(false);
  now = 3_600_000;
  expect(sick("+-", quiet)).toBe(false);
  expect(sick("--", quiet)).toBe(true);
});

test("as many failures in a row open it, however many successes there were just before; old ones do not count", () => {
  let now = 0;
  const breaker = new RollingBreaker(4, () => now);
  const fails = () => breaker.failure(CircuitState.Closed);
  for (let call = 0; call < 1_000; call += 1) breaker.success(CircuitState.Closed);
  expect([fails(), fails(), fails()]).toEqual([false, false, false]);
  breaker.success(CircuitState.Closed);
  expect([fails(), fails(), fails(), fails()]).toEqual([false, false, false, true]);
  const quiet = new RollingBreaker(4, () => now);
  for (let call = 0; call < 3; call += 1) expect(quiet.failure(CircuitState.Closed)).toBe(false);
  now += 3_600_000;
  expect(quiet.failure(CircuitState.Closed)).toBe(false);
});

test("what may be repeated is repeated after a wait, an answer is not, and all together not more than the budget", async () => {
  const options = {
    name: "a→b",
    attemptMs: 500,
    totalMs: 2_000,
    concurrent: 1_000,
    minimumCalls: 1_000_000,
    retries: 1,
  };
  const outcomes = [fail("unavailable"), ok("second")];
  expect(await makeEdge(options).run(Deadline.after(5_000), async () => outcomes.shift()!)).toEqual(ok("second"));

  let tries = 0;
  const counting = (result: Result<void>) => async () => ((tries += 1), result);
  await makeEdge(options).run(Deadline.after(5_000), counting(fail("invalid")));
  expect(tries).toBe(1);

  tries = 0;
  const tried = makeEdge(options);
  await all(200, () => tried.run(Deadline.after(5_000), counting(fail("unavailable"))));
  expect(tries).toBeGreaterThan(205);
  expect(tries).toBeLessThanOrEqual(200 + 10 + 20);
});

test("beyond its places an edge lets some wait, for as long as they have time, and refuses the rest", async () => {
  const tried = makeEdge({ name: "a→b", attemptMs: 1_000, totalMs: 1_000, concurrent: 1, queue: 1 });
  const first = Promise.withResolvers<Result<string>>();
  const running = tried.run(Deadline.after(5_000), () => first.promise);
  let ran = false;
  const waiting = tried.run(Deadline.after(30), async () => ((ran = true), ok()));
  expect(await tried.run(Deadline.after(5_000), async () => ok())).toMatchObject({
    ok: false,
    error: { code: "unavailable", retryAfterS: 1 },
  });
  expect(await waiting).toMatchObject({ ok: false, error: { code: "deadline" } });
  first.resolve(ok("done"));
  expect(await running).toEqual(ok("done"));
  await until(() => tried.inFlight === 0);
  expect(ran).toBe(false);
});

test("who is well and has too much to do is not taken for sick: nothing opens, nothing is tried again", async () => {
  const edge = makeEdge({ name: "busy", attemptMs: 1_000, totalMs: 1_000, concurrent: 64, retries: 1 });
  let calls = 0;
  const busy = async (): Promise<Result<void>> => {
    calls += 1;
    return fail("overloaded", undefined, { retryAfterS: 1 });
  };
  for (let n = 0; n < 50; n += 1) {
    expect(await edge.run(Deadline.after(1_000), busy)).toMatchObject({
      error: { code: "overloaded", retryAfterS: 1 },
    });
  }
  expect([calls, edge.state]).toEqual([50, "closed"]);
});
