/** Revocations reach every broker: over a real RabbitMQ, from auth's list after a gap or without RabbitMQ, and they stay. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Channel, type ChannelModel, connect } from "amqplib";
import { IDENTITY_EXCHANGE, type Revocation, routingKeyOfRevocation, SIGNING_KEYS_CHANGED } from "#contracts/identity";
import { fail, ok } from "#shared/errors";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeKey, revocationList, sign } from "../auth.test-kit.ts";
import { makeGate, RABBITMQ, until } from "../platform.test-kit.ts";
import { versionedBrokers } from "../v1/v1.test-kit.ts";
import { type Hearing, makeRevocationFeed } from "./revocation-feed.ts";

setDefaultTimeout(60_000);
const { broker: plainBroker, sessionToken, closing } = versionedBrokers();
async function broker(env: Record<string, string>) {
  const running = await plainBroker(env);
  running.listener.answer = () => Response.json({ error: false, message: "queues", data: { items: [] } });
  return running;
}

function revocation(kind: Revocation["kind"], subject: string, more: Partial<Revocation> = {}): Revocation {
  const [at, expires_at] = [Date.now(), Date.now() + 600_000].map((ms) => new Date(ms).toISOString());
  return { id: Bun.randomUUIDv7(), kind, subject, at: at ?? "", expires_at: expires_at ?? "", ...more };
}
async function newDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "broker-"));
  closing.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}
/** A session of its own for each test: brokers of other tests are on the same exchange. */
const newSession = () => `session-${Bun.randomUUIDv7()}`;
const tokenOf = async (sid: string, claims: Record<string, unknown> = {}) => ({
  authorization: `Bearer ${await sessionToken({ claims: { sid, ...claims } })}`,
});
/** Needs a credential, and asks nobody about it. */
const PLACE = "/v1/events/queues";

test("without RabbitMQ auth is asked every second: from where the answer before ended, all pages", async () => {
  const { auth, call, isUp } = await broker({ ACCESS: "closed" });
  await until("the feed", isUp("revocations"));
  const asked: (string | null)[] = [];
  const [first, second] = [newSession(), newSession()];
  auth.revocations = (since) => {
    asked.push(since);
    if (since === "0") return more(revocationList([revocation("session", first)], "1"));
    return since === "1" ? revocationList([revocation("session", second)], "2") : revocationList([], "2");
  };
  await until("both", async () => {
    const answers = await Promise.all([first, second].map(async (sid) => call(PLACE, await tokenOf(sid))));
    return answers.every(({ status }) => status === 401);
  });
  await until("twice more", () => asked.length > 3);
  expect(asked.slice(0, 4)).toEqual(["0", "1", "2", "2"]);
});

function more(answer: Response): Promise<Response> {
  return answer.json().then((body) => {
    const { data } = body as { data: object };
    return Response.json({ error: false, message: "", data: { ...data, more: true } });
  });
}

test("before auth's list is read auth is asked about each token, and where it is away nobody is let in by one", async () => {
  const { auth, call, isUp, startBroker } = await broker({ ACCESS: "closed" });
  await until("the list read", isUp("revocations"));
  auth.revocations = () => Response.json({ error: true, message: "not yet" }, { status: 503 });
  const late = await startBroker({ SPOOL_DIR: await newDir(), ACCESS: "closed" });
  await until("auth's keys", late.isUp("auth_keys"));
  const headers = { authorization: `Bearer ${await sessionToken()}` };
  const asked = () => auth.asked.filter(({ path }) => path === "/me").length;
  expect([(await call(PLACE, headers, late.app.url)).status, asked()]).toEqual([200, 1]);
  auth.answer = () => Response.json({ error: true, message: "ended" }, { status: 401 });
  expect((await call(PLACE, headers, late.app.url)).status).toBe(401);
  auth.answer = () => Response.json({ error: true, message: "away" }, { status: 503 });
  const away = await call(PLACE, headers, late.app.url);
  expect([away.status, away.headers.has("retry-after")]).toEqual([503, true]);
  expect(late.isUp("revocations")()).toBe(false);
  // The other broker had read it, and goes by that.
  expect((await call(PLACE, headers)).status).toBe(200);
});

test("auth is asked at once when the subscription begins and when it ends", async () => {
  const { metrics, health, log } = makeRuntime("broker", silentLog, () => undefined);
  closing.push(() => metrics[Symbol.dispose]());
  let asked = 0;
  let hearing: Hearing | undefined;
  const feed = makeRevocationFeed({
    revocations: { take: () => undefined, whole: () => undefined },
    subscribe: (given) => {
      hearing = given;
      return { [Symbol.asyncDispose]: () => Promise.resolve() };
    },
    read: async () => {
      asked += 1;
      return ok({ items: [], as_of: "1", more: false });
    },
    onSigningKeys: () => undefined,
    dependency: health.dependency("revocations"),
    metrics,
    log,
    // By the clock alone nothing would be asked in this test.
    aloneMs: 600_000,
    subscribedMs: 600_000,
  });
  closing.push(() => feed[Symbol.asyncDispose]());
  await until("the first time", () => asked === 1);
  hearing?.onUp();
  await until("after a gap", () => asked === 2);
  hearing?.onDown(new Error("away"));
  await until("without RabbitMQ", () => asked === 3);
});

test("after a gap that auth has not told about yet, it is not said that all is heard", async () => {
  const { metrics, health, log } = makeRuntime("broker", silentLog, () => undefined);
  closing.push(() => metrics[Symbol.dispose]());
  const dependency = health.dependency("revocations");
  let isAuthUp = true;
  let asked = 0;
  let hearing: Hearing | undefined;
  const feed = makeRevocationFeed({
    revocations: { take: () => undefined, whole: () => undefined },
    subscribe: (given) => {
      hearing = given;
      return { [Symbol.asyncDispose]: () => Promise.resolve() };
    },
    read: async () => {
      asked += 1;
      return isAuthUp ? ok({ items: [], as_of: "1", more: false }) : fail("unavailable");
    },
    onSigningKeys: () => undefined,
    dependency,
    metrics,
    log,
    aloneMs: 5,
    subscribedMs: 20,
  });
  closing.push(() => feed[Symbol.asyncDispose]());
  const askedAgain = async () => {
    const before = asked;
    await until("asked again", () => asked > before + 1);
  };
  hearing?.onUp();
  await askedAgain();
  isAuthUp = false;
  await askedAgain();
  expect(dependency.state).toBe("up");
  hearing?.onDown(new Error("away"));
  await askedAgain();
  expect(dependency.state).toBe("down");
  hearing?.onUp();
  await askedAgain();
  expect(dependency.state).toBe("down");
  isAuthUp = true;
  await until("read", () => dependency.state === "up");
});

describe.skipIf(RABBITMQ === undefined)("over RabbitMQ", () => {
  let model: ChannelModel;
  let channel: Channel;
  beforeAll(async () => {
    model = await connect(RABBITMQ ?? "");
    channel = await model.createChannel();
    await channel.assertExchange(IDENTITY_EXCHANGE, "topic", { durable: true });
  });
  afterAll(() => model.close());
  const tell = (item: Revocation) =>
    channel.publish(IDENTITY_EXCHANGE, routingKeyOfRevocation(item), Buffer.from(JSON.stringify(item)));

  /** A broker that hears, by a gate to RabbitMQ. */
  async function hearing() {
    const gate = await makeGate(new URL(RABBITMQ ?? ""));
    closing.push(() => gate.close());
    const running = await broker({ RABBITMQ_URL: gate.url, ACCESS: "closed" });
    const isHeard = async (item: Revocation, claims: Record<string, unknown> = {}) => {
      const sid = item.kind === "session" ? item.subject : newSession();
      const { status } = await running.call(PLACE, await tokenOf(sid, claims));
      return status === 401;
    };
    // The subscription has an end of its own to come up.
    await until("the subscription", async () => {
      const probe = revocation("session", newSession());
      tell(probe);
      await Bun.sleep(20);
      return isHeard(probe);
    });
    return { ...running, gate, isHeard };
  }

  test("a session, a user's older tokens: refused within a second, by three brokers, and other tokens stay", async () => {
    const { call, startBroker, app } = await hearing();
    const others = await Promise.all([1, 2].map(async () => startBroker({ SPOOL_DIR: await newDir() })));
    await Promise.all(others.map((other) => until("keys", other.isUp("auth_keys"))));
    const urls = [app, ...others.map((other) => other.app)].map(({ url }) => url);
    for (const other of others) {
      await until("the subscription", async () => {
        const sid = newSession();
        tell(revocation("session", sid));
        await Bun.sleep(20);
        return (await call(PLACE, await tokenOf(sid), other.app.url)).status === 401;
      });
    }
    const times: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const sid = newSession();
      const sub = String(1_000_000 + Math.floor(Math.random() * 1e9));
      const item = round % 2 === 0 ? revocation("session", sid) : revocation("user", sub, { access_version: 2 });
      const [old, renewed, stranger] = await Promise.all([
        tokenOf(sid, { sub, av: 1 }),
        tokenOf(newSession(), { sub, av: 2 }),
        tokenOf(newSession()),
      ]);
      for (const url of urls) expect((await call(PLACE, old, url)).status).toBe(200);
      const startedAt = performance.now();
      tell(item);
      await Promise.all(
        urls.map((url) => until("refused", async () => (await call(PLACE, old, url)).status === 401, 5_000)),
      );
      times.push(performance.now() - startedAt);
      for (const good of [renewed, stranger]) expect((await call(PLACE, good)).status).toBe(200);
    }
    const sorted = times.toSorted((a, b) => a - b);
    // Of 20, the median: one that waited for the machine is no sign of anything.
    expect(sorted[10] ?? Number.POSITIVE_INFINITY).toBeLessThan(1_000);
  });

  test("what was told during a gap is read at auth when it is over; what was heard stays through an outage of auth", async () => {
    const { auth, gate, isUp, isHeard, app } = await hearing();
    const before = revocation("session", newSession());
    tell(before);
    await until("heard", () => isHeard(before));
    const during = revocation("session", newSession());
    auth.revocations = () => revocationList([during], "1");
    gate.shut();
    await until("read while RabbitMQ is away", () => isHeard(during));
    expect(isUp("revocations")()).toBe(true);
    await auth.down();
    await until("deaf", () => !isUp("revocations")());
    expect(await Promise.all([before, during].map((item) => isHeard(item)))).toEqual([true, true]);
    const metrics = await (await fetch(`${app.url}/metrics`)).text();
    expect(metrics).toMatch(/broker_revocations_deaf_seconds\{[^}]*\} [\d.]*[1-9]/);
    expect(metrics).toMatch(/dependency_up\{[^}]*dependency="revocations"[^}]*\} 0/);
    // A token that nothing is known against goes on by its own time.
    expect(await isHeard(revocation("session", newSession()))).toBe(false);
    gate.open();
    const after = revocation("session", newSession());
    await until("heard again", async () => (tell(after), isHeard(after)));
    // What was told in between is auth's to say.
    expect(isUp("revocations")()).toBe(false);
  });

  test("a new signing key is known at once; what is no event of auth's changes nothing", async () => {
    const { auth, call, isHeard } = await hearing();
    const other = await makeKey();
    const asked = auth.keySetsAsked;
    auth.keys.push(other);
    for (const text of ["", "{", "null", "[]", '{"kind":"session"}', JSON.stringify(revocation("session", ""))])
      channel.publish(IDENTITY_EXCHANGE, "session.revoked", Buffer.from(text));
    channel.publish(IDENTITY_EXCHANGE, SIGNING_KEYS_CHANGED, Buffer.from("{}"));
    await until("the keys read", () => auth.keySetsAsked > asked);
    const headers = { authorization: `Bearer ${await sign(other, { claims: { sid: newSession() } })}` };
    expect((await call(PLACE, headers)).status).toBe(200);
    const item = revocation("session", newSession());
    tell(item);
    await until("still heard", () => isHeard(item));
  });
});
