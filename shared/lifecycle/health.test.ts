import { expect, test } from "bun:test";
import { Failure } from "#shared/errors";
import { makeHealth } from "#shared/lifecycle";
import { makeLog } from "#shared/log";

function watched() {
  const lines: Record<string, unknown>[] = [];
  const log = makeLog({ service: "test", write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  return { health: makeHealth(log), lines };
}

test("ready is when all that is needed is up, and not any more once it is stopping", () => {
  const { health } = watched();
  expect(health.ready).toBe(true);
  const database = health.dependency("postgres");
  const other = health.dependency("auth", { required: false });
  expect([database.state, health.ready]).toEqual(["starting", false]);
  database.up();
  expect(health.ready).toBe(true);
  other.down(new Error("away"));
  expect(health.ready).toBe(true);
  database.down(new Error("away"));
  expect(health.ready).toBe(false);
  database.up();
  health.stopping();
  expect(health.report()).toMatchObject({ ready: false, stopping: true });
});

test("one line a change, the last error with its time, the time and the number of changes", () => {
  const { health, lines } = watched();
  const database = health.dependency("postgres");
  database.down(new Error("first"));
  const { since } = health.report().dependencies[0]!;
  database.down(new Error("second"));
  const [down] = health.report().dependencies;
  expect(health.report().dependencies).toEqual([
    {
      name: "postgres",
      state: "down",
      required: true,
      since,
      changes: 1,
      checked_at: down!.checked_at!,
      last_error: "second",
      last_error_at: down!.checked_at!,
    },
  ]);
  expect(Date.parse(down!.checked_at!)).toBeGreaterThanOrEqual(Date.parse(since));
  database.up(1.2);
  database.up();
  // What was wrong is told afterwards, too.
  expect(health.report().dependencies[0]).toMatchObject({
    state: "up",
    changes: 2,
    took_ms: 2,
    last_error: "second",
    last_error_at: down!.last_error_at!,
  });
  expect(lines.map(({ message }) => message)).toEqual(["dependency down", "dependency up"]);
});

test("an operator reads the cause, never a password, and not without end", () => {
  const { health } = watched();
  const database = health.dependency("postgres");
  const cause = new Error("connect ECONNREFUSED postgres://root:canary@db:5432/users");
  database.down(new Failure("unavailable", "not reachable", { cause }));
  const { last_error } = health.report().dependencies[0]!;
  expect(last_error).toBe("connect ECONNREFUSED postgres://***@db:5432/users");
  database.down(new Error("x".repeat(10_000)));
  expect(health.report().dependencies[0]!.last_error).toHaveLength(500);
});

test("what is reported is a copy", () => {
  const { health } = watched();
  health.dependency("postgres").up();
  health.report().dependencies[0]!.state = "down";
  expect(health.ready).toBe(true);
});

test("a circuit is shown, and decides nothing about being ready", () => {
  const { health } = watched();
  const auth = health.dependency("auth");
  auth.up();
  auth.circuit("open");
  expect(health.report()).toMatchObject({
    ready: true,
    dependencies: [{ name: "auth", state: "up", circuit: "open" }],
  });
});

test("what waits is asked for at each report", () => {
  const { health } = watched();
  let waiting = 1;
  health.backlog("spool", () => waiting);
  waiting = 2;
  expect(health.report().backlog).toEqual([{ name: "spool", waiting: 2 }]);
});
