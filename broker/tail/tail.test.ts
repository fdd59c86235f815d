import { afterAll, beforeAll, expect, test } from "bun:test";
import { MongoClient } from "mongodb";
import { follow, startLoggerProcess, startTail } from "./tail.test-kit.ts";

const MONGODB = process.env["TEST_MONGODB_URL"];
const NEEDS = "(needs TEST_MONGODB_URL)";

async function until(done: () => boolean | Promise<boolean>, what: string, ms = 15_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await done())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await Bun.sleep(10);
  }
}

type LoggerProcess = Awaited<ReturnType<typeof startLoggerProcess>>;
let mongodbUrl = "";
let loggers: LoggerProcess[] = [];
let urls: string[] = [];
let tail: ReturnType<typeof startTail>;

beforeAll(async () => {
  if (MONGODB === undefined) return;
  const named = new URL(MONGODB);
  named.pathname = `/tail_test_${Bun.randomUUIDv7().replaceAll("-", "").slice(0, 24)}`;
  mongodbUrl = named.href;
  // One first: it makes the indexes.
  loggers = [await startLoggerProcess(mongodbUrl)];
  loggers.push(...(await Promise.all([startLoggerProcess(mongodbUrl), startLoggerProcess(mongodbUrl)])));
  urls = loggers.map(({ url }) => url);
  tail = startTail(() => urls);
}, 60_000);

afterAll(async () => {
  await tail?.[Symbol.asyncDispose]();
  await Promise.all(loggers.map((logger) => logger[Symbol.asyncDispose]()));
  if (mongodbUrl === "") return;
  const client = await new MongoClient(mongodbUrl).connect();
  await client.db().dropDatabase();
  await client.close();
}, 30_000);

/** So many entries, spread over the loggers. */
const spread = async (name: string, from: number, to: number, over = loggers): Promise<void> => {
  await Promise.all(
    over.map((logger, index) =>
      logger.store(
        Array.from({ length: to - from }, (_, at) => from + at)
          .filter((data) => data % over.length === index)
          .map((data) => ({ name, data })),
      ),
    ),
  );
};

const sorted = (items: readonly { data: unknown }[]): number[] =>
  items.map(({ data }) => Number(data)).sort((a, b) => a - b);
const range = (to: number): number[] => Array.from({ length: to }, (_, index) => index);

test.skipIf(MONGODB === undefined)(
  `a hundred who follow the same are three connections, and each is told what all loggers store ${NEEDS}`,
  async () => {
    const hundred = await Promise.all(
      range(100).map((index) =>
        follow(tail.url, index % 2 === 0 ? "severity=INFO&name=many" : "name=many&severity=INFO", {
          "x-test-caller": String(index % 10),
          origin: "https://console.example.com",
          "x-request-id": `request-${index}`,
        }),
      ),
    );
    const [one] = hundred;
    expect(one?.answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(one?.answer.headers.get("x-request-id")).toBe("request-0");
    expect(await tail.metric("broker_tail_upstreams")).toBe(3);
    await spread("many", 0, 300);
    await until(() => hundred.every(({ entries }) => entries.length >= 300), "all have all");
    for (const { entries } of hundred) expect(sorted(entries)).toEqual(range(300));
    await Promise.all(hundred.map(({ leave }) => leave()));
    await until(async () => (await tail.metric("broker_tail_upstreams")) === 0, "no connection is left");
  },
  60_000,
);

test.skipIf(MONGODB === undefined)(
  `what is refused by a logger is refused here, and a caller has only so many ${NEEDS}`,
  async () => {
    for (const query of ["nam=x", "severity=LOUD", "own=true", "follow=false", "after=x"]) {
      const answer = await fetch(`${tail.url}/v1/logs/tail?${query}`);
      expect([query, answer.status]).toEqual([query, 422]);
    }
    const twenty = await Promise.all(range(20).map(() => follow(tail.url, "name=few")));
    const more = await fetch(`${tail.url}/v1/logs/tail?name=few`);
    expect([more.status, more.headers.get("retry-after")]).toEqual([429, "5"]);
    await Promise.all(twenty.map(({ leave }) => leave()));
    await until(async () => (await tail.metric("broker_tail_subscribers")) === 0, "nobody is left");
    const nobody = startTail(() => ["http://127.0.0.1:1"]);
    expect((await fetch(`${nobody.url}/v1/logs/tail`)).status).toBe(503);
    await nobody[Symbol.asyncDispose]();
  },
  30_000,
);

test.skipIf(MONGODB === undefined)(
  `whoever comes back is given what all loggers stored since, once ${NEEDS}`,
  async () => {
    const before = await follow(tail.url, "name=back");
    await spread("back", 0, 90);
    await until(() => before.entries.length === 90, "the first 90");
    await before.leave();
    await spread("back", 90, 180);
    const after = await follow(tail.url, "name=back", { "last-event-id": before.lastId });
    await spread("back", 180, 270);
    await until(() => after.entries.length >= 180, "the rest");
    expect(sorted([...before.entries, ...after.entries])).toEqual(range(270));
    expect(after.events).toEqual([]);
    await after.leave();
  },
  30_000,
);

test.skipIf(MONGODB === undefined)(
  `a logger that is killed is said to be missing, and what it stored is told once it is back ${NEEDS}`,
  async () => {
    const client = await follow(tail.url, "name=killed");
    await spread("killed", 0, 30);
    await until(() => client.entries.length === 30, "the first 30");
    const [victim, ...others] = loggers;
    if (victim === undefined) throw new Error("no logger");
    await victim.kill();
    await until(() => client.events.some(({ event }) => event === "partial"), "partial");
    expect(client.events.at(-1)?.data).toBe('{"loggers":3,"missing":1}');
    await spread("killed", 30, 60, others);
    await until(() => client.entries.length === 60, "what the others store");
    await victim.client[Symbol.asyncDispose]();
    const back = await startLoggerProcess(mongodbUrl, { http: Number(new URL(victim.url).port), rpc: victim.rpcPort });
    loggers[0] = back;
    await back.store([{ name: "killed", data: 60 }]);
    const state = () => client.events.filter(({ event }) => event === "partial" || event === "whole").at(-1)?.event;
    await until(() => state() === "whole", "whole", 30_000);
    await until(() => client.entries.length === 61, "what was stored before it was followed again");
    expect(sorted(client.entries)).toEqual(range(61));
    // Loggers come and go.
    const all = urls;
    urls = all.slice(1);
    await until(async () => (await tail.metric("broker_tail_upstreams")) === 2, "one fewer");
    urls = all;
    await until(async () => (await tail.metric("broker_tail_upstreams")) === 3, "one more");
    await until(() => state() === "whole", "whole again");
    await client.leave();
  },
  60_000,
);

test.skipIf(MONGODB === undefined)(
  `it ends with the credential, and with the broker ${NEEDS}`,
  async () => {
    const client = await follow(tail.url, "name=ended");
    tail.state.may = false;
    await client.reading;
    expect(client.events.at(-1)?.data).toBe('{"reason":"the credential no longer counts"}');
    tail.state.may = true;
    const stopping = startTail(() => urls);
    const last = await follow(stopping.url, "name=ended");
    const startedAt = performance.now();
    await stopping[Symbol.asyncDispose]();
    await last.reading;
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    expect(last.events.at(-1)).toMatchObject({ event: "bye", data: '{"reason":"stopping"}' });
  },
  30_000,
);
