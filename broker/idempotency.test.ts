/** First answers: given again as they were, to the same request only, for a while and within limits. */
import { afterEach, expect, test } from "bun:test";
import { type FailureCode, fail, ok, type Result } from "#shared/errors";
import { makeMetrics, type Metrics } from "#shared/telemetry";
import { type FirstAnswersOptions, keyOf, makeFirstAnswers } from "./idempotency.ts";
import { makeIds } from "./ids.ts";

const SCOPE = { caller: "anonymous", route: "/handle", key: "k" };
const ids = makeIds("secret");

const open: Metrics[] = [];
afterEach(() => {
  for (const metrics of open.splice(0)) metrics[Symbol.dispose]();
});

/** First answers, and how often something was really done. */
function scene(options: Partial<FirstAnswersOptions> = {}) {
  const metrics = makeMetrics("broker", "0");
  open.push(metrics);
  const answers = makeFirstAnswers({ ids, metrics, ...options });
  let done = 0;
  const work = async (result: Result<unknown> = ok({ n: done + 1 })) => {
    done += 1;
    return result;
  };
  return {
    metrics,
    answers,
    done: () => done,
    send: (body: unknown = "b", key = "k", result?: Result<unknown>) =>
      answers.run({ ...SCOPE, key }, body, () => work(result)),
  };
}

test.each([
  [null, undefined],
  ["k", "k"],
  ['"k"', "k"],
  ["8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"],
  ["a b", "a b"],
  ['"', '"'],
  ["~".repeat(255), "~".repeat(255)],
  [`"${"~".repeat(255)}"`, "~".repeat(255)],
])("the header %p is the key %p", (header, key) => {
  expect(keyOf(header)).toEqual(ok(key));
});

test.each(["", '""', "~".repeat(256), "kä", "k\tk", "k\u007f"])("the header %j is no key", (header) => {
  expect(keyOf(header)).toMatchObject({ ok: false, error: { status: 422 } });
});

test("the first answer is given again, as it was then, and nothing is done twice", async () => {
  const { answers, send, done } = scene();
  const value = { message: "m", data: { list: [1] }, receiptId: "r" };
  const first = await send("b", "k", ok(value));
  value.data.list.push(2);
  expect(first).toEqual({ result: ok(value), replayed: false });
  expect(await send()).toEqual({ result: ok({ message: "m", data: { list: [1] }, receiptId: "r" }), replayed: true });
  expect(done()).toBe(1);
  // Another caller, route or key is another request.
  for (const scope of [{ caller: "user:1" }, { route: "/" }, { key: "k2" }]) {
    expect(await answers.run({ ...SCOPE, ...scope }, "b", async () => ok(1))).toMatchObject({ replayed: false });
  }
});

test("the order of keys does not make another body; all else does", async () => {
  const { send } = scene();
  const body = { a: 1, b: [{ c: null, d: "x" }] };
  await send(body);
  expect(await send({ b: [{ d: "x", c: null }], a: 1 })).toMatchObject({ replayed: true });
  const others = [{ ...body, a: "1" }, { ...body, e: 0 }, { a: 1, b: { "0": body.b[0] } }, { a: 1 }, [body], null, ""];
  for (const other of others) {
    expect(await send(other)).toMatchObject({ replayed: false, result: { ok: false, error: { status: 422 } } });
  }
});

test("while a request is under way the same is 409 with a time to try again, and another body 422", async () => {
  const { answers, send } = scene();
  const gate = Promise.withResolvers<Result<string>>();
  const first = answers.run(SCOPE, "b", () => gate.promise);
  expect(await send("b")).toMatchObject({ replayed: false, result: { error: { status: 409, retryAfterS: 1 } } });
  expect(await send("other")).toMatchObject({ result: { error: { status: 422 } } });
  gate.resolve(ok("done"));
  expect(await first).toEqual({ result: ok("done"), replayed: false });
  expect(await send("b")).toEqual({ result: ok("done"), replayed: true });
});

test.each<[FailureCode, boolean]>([
  ["unauthenticated", true],
  // Of the sender of a mail: a corrected body is no other use of the key.
  ["forbidden", false],
  ["malformed", false],
  ["invalid", false],
  ["conflict", false],
  ["exhausted", false],
  ["internal", false],
  ["bad_gateway", false],
  ["unavailable", false],
  ["deadline", false],
])("a failure %s is given again: %p", async (code, kept) => {
  const { send, done } = scene();
  await send("b", "k", fail(code, "why"));
  const again = await send("b", "k", fail(code, "why"));
  expect(again).toMatchObject({ replayed: kept, result: { ok: false, error: { code, message: "why" } } });
  expect(done()).toBe(kept ? 1 : 2);
});

test("what must not be kept is done again, and what ends in a bug leaves the key free", async () => {
  const { answers, done, send } = scene();
  const partial = () =>
    answers.run(
      SCOPE,
      "b",
      async () => ok("half"),
      () => false,
    );
  expect([await partial(), await partial()]).toMatchObject([{ replayed: false }, { replayed: false }]);
  const bug = answers.run(SCOPE, "b", () => Promise.reject(new Error("bug")));
  expect(bug).rejects.toThrow("bug");
  await bug.catch(() => undefined);
  expect(await send()).toMatchObject({ replayed: false, result: { ok: true } });
  expect(done()).toBe(1);
});

test("answers are forgotten after their time", async () => {
  const { send, done, metrics } = scene({ keptMs: 20 });
  await send();
  await Bun.sleep(25);
  expect(await send("other")).toMatchObject({ replayed: false, result: { ok: true } });
  expect(done()).toBe(2);
  expect(await metrics.text()).toMatch(/broker_first_answers\{[^}]*\} 1\n/);
});

test("beyond their number or bytes the oldest make room", async () => {
  for (const limit of [{ keptAnswers: 2 }, { keptBytes: 2 * (300 + 2 * 20) }]) {
    const { send, metrics } = scene(limit);
    const answer = ok("x".repeat(8));
    for (const key of ["1", "2", "3"]) await send("b", key, answer);
    expect(await send("b", "1", answer)).toMatchObject({ replayed: false });
    expect(await send("b", "3", answer)).toMatchObject({ replayed: true });
    expect(await metrics.text()).toMatch(/broker_first_answers\{[^}]*\} 2\n/);
  }
  const { send, metrics } = scene({ keptBytes: 1_000 });
  await send("b", "k", ok("x".repeat(1_000)));
  expect(await metrics.text()).toMatch(/broker_first_answers_bytes\{[^}]*\} 0\n/);
});
