/** What is wrong is said in sentences that name the part, what it lacks, and since when. */
import { expect, test } from "bun:test";
import { type Health, queuedOf, quietSince, stateOf, wrongOf } from "./browser/console/parts.ts";
import { listed } from "./browser/console/words.ts";

type Service = Health["services"][number];
const AT = "2026-12-01T10:00:00.000Z";
const EARLIER = "2026-12-01T09:00:00.000Z";

const dependency = (name: string, more: Partial<Service["dependencies"][number]> = {}) => ({
  name,
  state: "up" as const,
  required: false,
  since: EARLIER,
  ...more,
});
const service = (name: string, more: Partial<Service> = {}): Service => ({
  name,
  state: "up",
  instances: [],
  dependencies: [],
  backlog: [],
  took_ms: 1,
  ...more,
});
const health = (services: Service[], backing: Health["backing"] = []): Health => ({
  services,
  backing,
  registry: { mode: "static", state: "off", since: EARLIER, announced: 0 },
});

test("all is well since the last time that anything changed", () => {
  const report = health([
    service("broker", { dependencies: [dependency("logger"), dependency("auth", { since: AT })] }),
    service("logger"),
  ]);
  expect(wrongOf(report)).toEqual([]);
  expect(quietSince(report)).toBe(AT);
});

test("who is away is said with the moment at which others saw him go; what stands still comes first", () => {
  const report = health(
    [
      service("broker", { state: "degraded", dependencies: [dependency("logger", { state: "down", since: AT })] }),
      service("logger", { state: "away" }),
      service("mail", {
        state: "not_ready",
        dependencies: [dependency("postgres", { state: "down", required: true, since: EARLIER })],
      }),
    ],
    [{ name: "postgres", state: "down", since: EARLIER, seen_by: ["auth", "mail"] }],
  );
  expect(wrongOf(report).map(({ part, tone, text, since }) => [part, tone, text, since])).toEqual([
    ["postgres", "bad", "PostgreSQL is away, say auth and mail", EARLIER],
    ["logger", "bad", "logger does not answer", AT],
    ["mail", "bad", "mail can't work without PostgreSQL", EARLIER],
    ["broker", "warn", "broker does without logger", AT],
  ]);
  expect(stateOf(report, "logger").word).toBe("away");
  expect(stateOf(report, "redis").word).toBe("unknown");
});

test("an open circuit, and an instance of several that is not well, are told", () => {
  const instance = (state: "up" | "away") => ({ state, took_ms: 1 });
  const report = health([
    service("broker", { state: "degraded", dependencies: [dependency("auth", { circuit: "open" })] }),
    service("auth", { state: "degraded", instances: [instance("up"), instance("away")] }),
  ]);
  expect(wrongOf(report).map(({ text }) => text)).toEqual([
    "broker does not ask auth for a moment",
    "1 of 2 instances of auth are not well",
  ]);
});

test("what nobody tells is not counted as none", () => {
  const figures = { at: null, interval_s: 5, parts: [], edges: [], queues: [] };
  expect(queuedOf(figures, ["work"])).toBeUndefined();
  const queue = { name: "q", role: "work" as const, messages: 3, consumers: 1, in_hand: 0, held: 0 };
  expect(queuedOf({ ...figures, queues: [queue, { ...queue, role: "retry", messages: 2 }] }, ["work"])).toBe(3);
  expect([listed([]), listed(["a"]), listed(["a", "b", "c"])]).toEqual(["", "a", "a, b and c"]);
});
