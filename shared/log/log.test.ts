import { expect, test } from "bun:test";
import { makeLog } from "#shared/log";

function lines(level: "debug" | "info" = "info") {
  const written: string[] = [];
  const log = makeLog({ service: "auth", level, write: (line) => written.push(line) });
  return { log, parsed: () => written.map((line) => JSON.parse(line) as Record<string, unknown>), written };
}

test("a line is one JSON object with time, level, service and message, however odd the text", () => {
  const { log, written, parsed } = lines();
  log.info('forged\n{"level":"error"}', { attempt: 2 });
  expect(written).toHaveLength(1);
  expect(written[0]!.indexOf("\n")).toBe(written[0]!.length - 1);
  expect(parsed()[0]).toMatchObject({ level: "info", service: "auth", attempt: 2 });
});

test("secrets are redacted by name at any depth, and inside URLs", () => {
  const { log, written } = lines();
  const canary = "canary-7f3a";
  log.warn("refused", {
    password: canary,
    nested: { list: [{ access_token: canary }], Authorization: canary, "x-api-key": canary, SERVICE_KEY: canary },
    url: `postgres://user:${canary}@host/db`,
    cause: new Error(`connect failed to amqp://guest:${canary}@host`),
    odd: `amqp://guest:p@${canary}:x@host/vhost`,
  });
  expect(written[0]).not.toContain(canary);
});

test("levels below the threshold are not written, children add their fields", () => {
  const { log, parsed } = lines();
  log.debug("hidden");
  log.child({ request_id: "r1" }).info("shown", { status: 200 });
  expect(parsed()).toHaveLength(1);
  expect(parsed()[0]).toMatchObject({ message: "shown", request_id: "r1", status: 200 });
});

test("the level is changed while it runs, for all children, and goes back by itself", async () => {
  const { log, parsed } = lines();
  const child = log.child({ part: "a" });
  const changes: string[] = [];
  log.level.onChange((level) => changes.push(level));
  child.debug("before");
  log.level.set("debug", 20);
  expect(log.level.until?.getTime()).toBeGreaterThan(Date.now());
  child.debug("meanwhile");
  while (log.level.level === "debug") await Bun.sleep(5);
  child.debug("after");
  expect(parsed().map(({ message }) => message)).toEqual(["meanwhile"]);
  expect(log.level.until).toBeUndefined();
  expect(changes).toEqual(["debug", "info"]);
});

test("a level that is set anew goes back by the newer time alone; set for good it stays", async () => {
  const { log } = lines();
  log.level.set("debug", 10);
  log.level.set("warn", 0);
  await Bun.sleep(30);
  expect(log.level.level).toBe("warn");
  log.level.set("info", 60_000);
  expect(log.level.until).toBeUndefined();
});
