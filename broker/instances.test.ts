/** A broker and three loggers as processes: one that is killed or frozen costs no call, is left alone within 2 s, and is used again after. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { brokers, until } from "./platform.test-kit.ts";

const { platform, closing } = brokers();

const AVOIDED_MS = 2_000;
const BACK_MS = 5_000;
/** None that is well takes so long, on a busy machine too (ms). */
const SLOW_MS = 900;
const FIXTURE = join(import.meta.dir, "logger-instance.fixture.ts");

interface Sample {
  readonly at: number;
  readonly tookMs: number;
  readonly isWell: boolean;
}

/** A port that is free now. */
function freePort(): number {
  using server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  return server.port;
}

function instance() {
  const [rpcPort, httpPort] = [freePort(), freePort()];
  const begin = () =>
    Bun.spawn([process.execPath, FIXTURE, String(rpcPort), String(httpPort)], { stdout: "ignore", stderr: "inherit" });
  let child = begin();
  closing.push(() => child.kill("SIGKILL"));
  /** -1 while it is not there. */
  const count = (): Promise<number> =>
    fetch(`http://127.0.0.1:${httpPort}`).then(
      async (answer) => Number(await answer.text()),
      () => -1,
    );
  return {
    url: `tcp://127.0.0.1:${rpcPort}`,
    count,
    listens: () => until("an instance listens", async () => (await count()) >= 0, 60_000),
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    start() {
      child = begin();
    },
  };
}

test("three loggers: a third each, and killed or frozen one of them is avoided and found again", async () => {
  const all = [instance(), instance(), instance()] as const;
  const [, killed, frozen] = all;
  for (const one of all) await one.listens();
  const { handle } = await platform({ LOGGER_RPC_URL: all.map(({ url }) => url).join(",") });
  const samples: Sample[] = [];
  const began = performance.now();
  const now = (): number => performance.now() - began;
  const over = new AbortController();
  const calling = (async () => {
    const underWay: Promise<void>[] = [];
    while (!over.signal.aborted) {
      const at = now();
      underWay.push(
        handle({ action: "log", log: { name: "instances", data: "x" } }).then(({ status, headers, tookMs }) => {
          samples.push({ at, tookMs, isWell: status === 202 && headers.get("x-degraded") === null });
        }),
      );
      await Bun.sleep(8);
    }
    await Promise.all(underWay);
  })();
  /** When the last call noticed anything that was done at `from` (ms after it), of those that were due by now. */
  const lastNoticed = (from: number): number =>
    Math.max(
      0,
      ...samples
        .filter(({ at, tookMs, isWell }) => at > from && (!isWell || tookMs > SLOW_MS))
        .map(({ at }) => at - from),
    );

  const before = await Promise.all(all.map((one) => one.count()));
  await until("1,500 calls", () => samples.length >= 1_500, 60_000);
  const counts = (await Promise.all(all.map((one) => one.count()))).map((count, index) => count - (before[index] ?? 0));
  const total = counts.reduce((sum, count) => sum + count, 0);
  for (const count of counts) expect(Math.abs(count / total - 1 / 3)).toBeLessThan(0.05);

  const killedAt = now();
  killed.kill("SIGKILL");
  await Bun.sleep(4_000);
  expect(samples.filter(({ isWell }) => !isWell)).toEqual([]);
  expect(lastNoticed(killedAt)).toBeLessThan(AVOIDED_MS);
  killed.start();
  await killed.listens();
  await until("in use again", async () => (await killed.count()) > 5, BACK_MS);

  const frozenAt = now();
  frozen.kill("SIGSTOP");
  await Bun.sleep(6_000);
  expect(lastNoticed(frozenAt)).toBeLessThan(AVOIDED_MS);
  frozen.kill("SIGCONT");
  const then = await frozen.count();
  await until("in use again", async () => (await frozen.count()) > then + 10, BACK_MS);
  over.abort();
  await calling;
}, 120_000);
