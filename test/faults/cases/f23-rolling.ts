/** Every service is restarted, one after the other, as a new version is brought in. */
import { join } from "node:path";
import { freePort } from "../../../dev/backing/ports.ts";
import { makeService } from "../../../dev/service.ts";
import { programOf } from "../../../dev/services.ts";
import { type Platform, until } from "../../kit.ts";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { makeCalls, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { concluded } from "../verdicts.ts";

const RATE = 200;
const REFUSED = 0.001;
/** Between two looks of the balancer whether a broker is ready (ms). */
const LOOK_MS = 100;

const rolling: FaultCase = {
  id: "F23",
  fault: `all five services restarted (SIGTERM) one after the other, ${RATE} requests a second`,
  promise: "no request is cut off; with two brokers behind a balancer that asks /ready, clients notice nothing",
  bar: `not accepted ≤ ${REFUSED * 100} %, lost 0, twice 0`,
  inTests: true,
  async run({ full, random, platform: start, say }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const second = await secondBroker(platform);
    const balancer = balance([platform.url("broker"), second.url]);
    try {
      await until("the balancer sees both", () => balancer.ready === 2);
      const { log, mail, hit } = makeCalls(platform, history, random, { broker: balancer.next });
      const load = startLoad({
        rate: RATE,
        mix: [
          [log, 16],
          [mail, 1],
          [hit, 3],
        ],
        random,
      });
      const rounds = full ? 5 : 1;
      for (let round = 0; round < rounds; round += 1) {
        // The inbox keeps the newest thousand.
        await history.lookAtInbox();
        for (const name of ["broker", "auth", "logger", "mail", "listener"] as const) {
          await Bun.sleep(full ? 3_000 : 300);
          const part = platform.stack.part(name);
          // As an orchestrator does it: out of the balancer first, then the signal.
          if (name === "broker") await balancer.takeOut(platform.url("broker"));
          await part.restart();
          await until(`${name} ready`, () => part.state === "running", 30_000);
          if (name === "broker") {
            balancer.putBack(platform.url("broker"));
            await until("the balancer sees both", () => balancer.ready === 2);
            await balancer.takeOut(second.url);
            await second.restart();
            await until("the second broker ready", () => second.state === "running", 30_000);
            balancer.putBack(second.url);
            await until("the balancer sees both", () => balancer.ready === 2);
          }
        }
        say(`round ${round + 1} of ${rounds}`);
      }
      await Bun.sleep(500);
      const samples = await load.stop();
      const verdict = await history.verdict({ withinMs: 90_000 });
      // What the second broker keeps is not seen by the verdict: it is given back before.
      const { accepted, calls, p99, byDegraded, byStatus } = summarize(samples);
      const refused = calls - accepted;
      const restarts = rounds * 6;
      return concluded(verdict, {
        figures: {
          restarts,
          calls,
          not_accepted: refused,
          p99_ms: p99,
          queued: byDegraded["logger=queued"] ?? 0,
          ...(refused === 0 ? {} : { statuses: JSON.stringify(byStatus) }),
        },
        broken: refused > calls * REFUSED ? [`${refused} of ${calls} not accepted`] : [],
      });
    } finally {
      balancer.stop();
      await second.stop();
    }
  },
};

/** Another broker like the platform's, with a port and a spool of its own. */
async function secondBroker(platform: Platform) {
  const port = await freePort();
  const { dataDir } = platform.stack;
  const env = {
    ...platform.hops.environment("broker"),
    BROKER_PORT: String(port),
    BROKER_SPOOL_DIR: join(dataDir, "spool", "broker-2"),
  };
  const part = makeService({
    name: "broker-2",
    url: `http://127.0.0.1:${port}`,
    launch: () => ({ ...programOf("broker", undefined), env, log: join(dataDir, "logs", "broker-2.log") }),
    onEvent: () => undefined,
  });
  await part.start();
  await until("the second broker ready", () => part.state === "running", 30_000);
  return part;
}

/** Round robin over those that say that they are ready. */
function balance(urls: readonly string[]) {
  const ready = new Set<string>();
  const out = new Set<string>();
  let turn = 0;
  const look = async (url: string): Promise<void> => {
    const status = await fetch(`${url}/ready`, { signal: AbortSignal.timeout(1_000) })
      .then((answer) => answer.status)
      .catch(() => 0);
    if (status === 200 && !out.has(url)) ready.add(url);
    else ready.delete(url);
  };
  const timer = setInterval(() => void Promise.all(urls.map(look)), LOOK_MS);
  return {
    get ready() {
      return ready.size;
    },
    next: (): string => {
      const candidates = [...ready];
      return candidates[(turn += 1) % candidates.length] ?? urls[0]!;
    },
    /** Gets no more requests; what it has is let go on for a moment. */
    async takeOut(url: string): Promise<void> {
      out.add(url);
      ready.delete(url);
      await Bun.sleep(LOOK_MS);
    },
    putBack(url: string): void {
      out.delete(url);
    },
    stop: (): void => clearInterval(timer),
  };
}

export const cases: readonly FaultCase[] = [rolling];
