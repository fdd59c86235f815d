import { expect, test } from "bun:test";
import { silentLog } from "#shared/log";
import { newContext } from "#shared/telemetry";
import type { Logs, MongoConnection } from "../mongo.ts";
import { KEY } from "./audit.test-kit.ts";
import { makeAuditDesk } from "./desk.ts";

/** A database with nothing in it. */
const empty = (() => {
  const none = { toArray: async () => [], sort: () => none, async *[Symbol.asyncIterator]() {} };
  const collection = { find: () => none };
  return { ...collection, db: { collection: () => collection } } as unknown as Logs;
})();

test("who asks while MongoDB is away hears so, and who asks when it is back hears of the trail", async () => {
  const connection = { logs: undefined as Logs | undefined, isFerretdb: false, epoch: 1, suspect: () => undefined };
  const desk = makeAuditDesk(connection as unknown as MongoConnection, [KEY], { log: silentLog });
  expect(await desk.report(newContext(1_000))).toMatchObject({ ok: false, error: { code: "unavailable" } });
  connection.logs = empty;
  expect(await desk.report(newContext(1_000))).toMatchObject({ ok: true, value: { state: "done", intact: true } });
  connection.logs = undefined;
  expect(await desk.report(newContext(1_000))).toMatchObject({ ok: false, error: { code: "unavailable" } });
  connection.logs = empty;
  expect(await desk.report(newContext(1_000))).toMatchObject({ ok: true });
  await desk[Symbol.asyncDispose]();
});
