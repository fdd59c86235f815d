import { afterAll, beforeAll, describe, expect, setSystemTime, test } from "bun:test";
import type { AuditReport } from "#contracts/audit";
import { RPC_LOG_BATCH, RPC_LOG_INFO, RPC_LOG_ONCE } from "#contracts/logs";
import {
  connectRpc,
  type Database,
  makeDatabase,
  makeProxy,
  mongoUrl,
  NEEDS_MONGODB,
  startLogger,
  TEST_MONGODB_URL,
  until,
} from "../testing.ts";
import { KEY, verifyDatabase } from "./audit.test-kit.ts";
import { auditKeyOf } from "./seal.ts";

const entry = (number: number, more: object = {}) => ({
  name: "audit",
  data: { action: "user.changed", user_id: number, "a.b": null },
  event_id: `audit-${number}`,
  ...more,
});
const entries = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => entry(from + at));

describe.skipIf(TEST_MONGODB_URL === undefined)(`the audit trail ${NEEDS_MONGODB}`, () => {
  let database: Database;
  beforeAll(async () => {
    database = await makeDatabase();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  const places = async (filter: object) =>
    (await database.logs.find({ name: "audit", ...filter }).toArray())
      .map((document) => [Number(document["audit_chain"]), Number(document["audit_sequence"])] as const)
      .toSorted(([a, b], [c, d]) => a - c || b - d);

  test("entries that are there before the first chain are sealed as a whole", async () => {
    const old = { name: "audit", data: "of an older logger", severity: "INFO", event_id: "older-1" };
    await database.logs.insertOne({ ...old, created_at: new Date(), stored_at: new Date() });
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready();
    await using client = await connectRpc(logger);
    expect(await client.call(RPC_LOG_BATCH, [entries(1, 3)])).toMatchObject({ ok: true });
    const heads = database.client.db(database.name).collection("log_audit_heads");
    await until(async () => (await heads.countDocuments()) === 2, "older entries are sealed");
    expect(await verifyDatabase(database)).toMatchObject({
      intact: true,
      chains: 1,
      entries: 4,
      older: 1,
      unsealed: 0,
    });
    await database.logs.updateOne({ event_id: "older-1" }, { $set: { data: "something else" } });
    expect(await verifyDatabase(database)).toMatchObject({ intact: false, breaks: 1 });
    await database.logs.updateOne({ event_id: "older-1" }, { $set: { data: "of an older logger" } });
    expect(await verifyDatabase(database)).toMatchObject({ intact: true });
  });

  test("what is answered is sealed; entries of other names carry nothing", async () => {
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready();
    await using client = await connectRpc(logger);
    for (const one of entries(11, 15)) {
      expect(await client.call(RPC_LOG_INFO, [one])).toMatchObject({ ok: true });
      expect(await verifyDatabase(database)).toMatchObject({ intact: true, unsealed: 0 });
    }
    expect(await places({ audit_chain: 2 })).toEqual([1, 2, 3, 4, 5].map((number) => [2, number] as const));
    await logger.post({ name: "other", data: 1 });
    expect(Object.keys((await database.logs.findOne({ name: "other" })) ?? {}).join()).not.toContain("audit");
  });

  test("replicas that store at once have chains of their own", async () => {
    const url = mongoUrl(database.name);
    await using one = await startLogger(url);
    await using two = await startLogger(url);
    await Promise.all([one.ready(), two.ready()]);
    await using first = await connectRpc(one);
    await using second = await connectRpc(two);
    const done = await Promise.all(
      entries(101, 160).map((each, index) => (index % 2 === 0 ? first : second).call(RPC_LOG_INFO, [each])),
    );
    expect(done.every(({ ok }) => ok)).toBe(true);
    expect(await verifyDatabase(database)).toMatchObject({ intact: true, chains: 4, unsealed: 0 });
  });

  test("an entry that comes again leaves its number empty, and is sealed where it stands", async () => {
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready();
    await using client = await connectRpc(logger);
    const batch = [entry(201), entry(1), entry(202), entry(201), entry(203)];
    const refused = { ...entry(0), name: "" };
    expect(await client.call(RPC_LOG_BATCH, [[...batch, refused]])).toEqual({
      ok: true,
      value: [...batch.map(() => ({ ok: true })), { error: { code: "invalid", message: expect.any(String) } }],
    });
    expect(await client.call(RPC_LOG_ONCE, [entry(2)])).toEqual({ ok: true, value: "duplicate" });
    expect(await client.call(RPC_LOG_ONCE, [entry(3, { data: "other" })])).toEqual({ ok: true, value: "conflict" });
    expect(await verifyDatabase(database)).toMatchObject({ intact: true, unsealed: 0 });
    const [gone] = await database.logs.find({ event_id: "audit-203" }).toArray();
    await database.logs.deleteOne({ event_id: "audit-203" });
    expect(await verifyDatabase(database)).toMatchObject({
      breaks: 1,
      items: [{ chain: 5, from: 5, to: 5, what: "they are gone" }],
    });
    if (gone !== undefined) await database.logs.insertOne(gone);
    expect(await verifyDatabase(database)).toMatchObject({ intact: true });
  });

  test("an outage of MongoDB ends a chain, and what was not answered is adopted when it comes again", async () => {
    using proxy = await makeProxy();
    await using logger = await startLogger(mongoUrl(database.name, proxy.host));
    await logger.ready();
    await using client = await connectRpc(logger);
    expect(await client.call(RPC_LOG_INFO, [entry(301)])).toMatchObject({ ok: true });
    const under = entries(302, 320).map((each) => client.call(RPC_LOG_INFO, [each]));
    await Bun.sleep(5);
    proxy.cut();
    const during = await Promise.all(under);
    await proxy.heal();
    await logger.ready();
    for (const [index, result] of during.entries()) {
      if (!result.ok) expect(await client.call(RPC_LOG_INFO, [entry(302 + index)])).toMatchObject({ ok: true });
    }
    const report = await verifyDatabase(database);
    expect(report).toMatchObject({ intact: true });
    expect(await places({ event_id: { $gte: "audit-301", $lte: "audit-320" } })).toHaveLength(20);
  });

  test("a whole batch that comes again is answered, and goes on in the same chain", async () => {
    await using own = await makeDatabase();
    await using logger = await startLogger(mongoUrl(own.name));
    await logger.ready();
    await using client = await connectRpc(logger);
    const batch = entries(1, 500);
    expect(await client.call(RPC_LOG_BATCH, [batch], 10_000)).toMatchObject({ ok: true });
    // Of what cannot be looked at in time another round is told.
    let left = batch;
    for (let round = 0; left.length > 0 && round < 5; round += 1) {
      const result = await client.call(RPC_LOG_BATCH, [left], 10_000);
      const answers = result.ok ? (result.value as { ok?: true }[]) : [];
      left = left.filter((_, index) => answers[index]?.ok !== true);
    }
    expect(left).toEqual([]);
    expect(await verifyDatabase(own)).toMatchObject({ intact: true, chains: 1, unsealed: 0 });
  }, 60_000);

  test("what stands under the id of an audit entry and is none may be removed: the trail is intact", async () => {
    await using own = await makeDatabase();
    await using logger = await startLogger(mongoUrl(own.name));
    await logger.ready();
    await using client = await connectRpc(logger);
    expect(await client.call(RPC_LOG_ONCE, [entry(1, { name: "planted" })])).toEqual({ ok: true, value: "stored" });
    expect(await client.call(RPC_LOG_ONCE, [entry(1)])).toEqual({ ok: true, value: "conflict" });
    expect(await client.call(RPC_LOG_ONCE, [entry(2)])).toEqual({ ok: true, value: "stored" });
    await own.logs.updateOne({ name: "planted" }, { $set: { expire_slot: "another" } });
    expect(await verifyDatabase(own)).toMatchObject({ intact: true });
    await own.logs.deleteOne({ name: "planted" });
    expect(await verifyDatabase(own)).toMatchObject({ intact: true, unsealed: 0 });
  });

  test("what somebody has removed to have it made anew is not made anew", async () => {
    await using own = await makeDatabase();
    const old = { name: "audit", data: "of an older logger", severity: "INFO", event_id: "older-1" };
    await own.logs.insertOne({ ...old, created_at: new Date(), stored_at: new Date() });
    const db = own.client.db(own.name);
    const heads = db.collection<{ _id: string }>("log_audit_heads");
    const live = async (number: number) => {
      await using logger = await startLogger(mongoUrl(own.name));
      await logger.ready();
      expect((await logger.post({ name: "audit", data: number })).status).toBe(202);
    };
    await live(1);
    await live(2);
    expect(await verifyDatabase(own)).toMatchObject({ intact: true, chains: 2, older: 1 });
    // The last chain with all that is of it, and the count that tells of it.
    const count = await heads.findOneAndDelete({ _id: "chains" });
    await db.collection<{ _id: number }>("log_audit_chains").deleteOne({ _id: 2 });
    await own.logs.deleteOne({ audit_chain: 2 });
    await live(3);
    expect(await verifyDatabase(own)).toMatchObject({ items: [{ what: "the number of chains is gone" }] });
    if (count !== null) await heads.insertOne(count);
    expect(await verifyDatabase(own)).toMatchObject({ intact: true });
    // The seal of older entries, one of which is then something else.
    await heads.deleteOne({ _id: "older" });
    await own.logs.updateOne({ event_id: "older-1" }, { $set: { data: "something else" } });
    setSystemTime(new Date(Date.now() + 25 * 3_600_000));
    try {
      await live(4);
      expect(await verifyDatabase(own)).toMatchObject({
        items: [{ what: "the seal of the entries from before the first chain is gone" }],
      });
    } finally {
      setSystemTime();
    }
  }, 60_000);

  test("somebody who asks the logger is told where it breaks", async () => {
    await using logger = await startLogger(mongoUrl(database.name));
    await logger.ready();
    const ask = async () =>
      (await (await fetch(`${logger.app.url}/logs/audit`)).json()) as { message: string; data: AuditReport };
    expect(await ask()).toMatchObject({ message: "the audit trail is intact", data: { state: "done", intact: true } });
    await database.logs.updateOne({ event_id: "audit-12" }, { $set: { severity: "ERROR" } });
    expect(await ask()).toMatchObject({
      message: "the audit trail is broken in 1 places",
      data: { intact: false, items: [{ chain: 2, from: 2, to: 2, event_id: "audit-12", what: "it was changed" }] },
    });
    await database.logs.updateOne({ event_id: "audit-12" }, { $set: { severity: "INFO" } });
    expect((await fetch(`${logger.app.url}/logs/audit?x=1`)).status).toBe(422);
  });

  test("a secret that was replaced still verifies what it sealed, and only then", async () => {
    const secret = "another-secret-of-thirty-two-characters";
    await using logger = await startLogger(mongoUrl(database.name), { AUDIT_SECRET: secret });
    await logger.ready();
    expect((await logger.post({ name: "audit", data: "by the new secret" })).status).toBe(202);
    expect(await verifyDatabase(database, [auditKeyOf(secret), KEY])).toMatchObject({ intact: true });
    const { intact, items } = await verifyDatabase(database, [auditKeyOf(secret)]);
    expect(intact).toBe(false);
    expect(items.map(({ what }) => what).join()).toContain("AUDIT_OLD_SECRETS");
    const command = Bun.spawn(["bun", "logger/main.ts", "audit", "verify"], {
      env: { ...process.env, MONGODB_URL: mongoUrl(database.name), AUDIT_OLD_SECRETS: `old, ${secret}` },
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await new Response(command.stdout).text()).toStartWith("intact: ");
    expect(await command.exited).toBe(0);
    await database.logs.deleteOne({ event_id: "audit-15" });
    const again = Bun.spawn(["bun", "logger/main.ts", "audit", "verify"], {
      env: { ...process.env, MONGODB_URL: mongoUrl(database.name), AUDIT_OLD_SECRETS: secret },
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await new Response(again.stdout).text()).toContain("chain 2, entry 5: they are gone");
    expect(await again.exited).toBe(1);
  }, 120_000);
});
