import { expect, test } from "bun:test";
import { FAILURES, Failure, failureOf, messageOf } from "#shared/errors";

test("every code has a status, an RPC code, a fate on a queue and a message that is safe to show", () => {
  for (const [code, row] of Object.entries(FAILURES)) {
    expect(row.http, code).toBeGreaterThanOrEqual(400);
    expect(row.http, code).toBeLessThan(600);
    expect(row.message.length, code).toBeGreaterThan(0);
  }
});

test("a thrown failure keeps its code, a fired signal is a deadline, all else is a bug", () => {
  const known = new Failure("conflict", "address taken");
  expect(failureOf(known)).toBe(known);
  expect(failureOf(AbortSignal.timeout(0).reason ?? new DOMException("x", "TimeoutError")).code).toBe("deadline");
  expect(failureOf(new TypeError("undefined is not a function"))).toMatchObject({ code: "internal", status: 500 });
});

test("a bug's own text is its cause, not the message that a caller sees", () => {
  const failure = failureOf(new Error("password=hunter2"));
  expect(failure.message).toBe("internal error");
  expect(messageOf(failure)).toBe("internal error: password=hunter2");
});

test("an aggregate without words is told by its first error", () => {
  expect(messageOf(new AggregateError([new Error("connect ECONNREFUSED 127.0.0.1:1")], ""))).toContain("ECONNREFUSED");
});
