/** MongoDB is away, killed, or slow: the logger waits for it, and acknowledges only what it has stored. */
import { until } from "../../kit.ts";
import type { Platform } from "../../kit.ts";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { between } from "../../../dev/chaos/random.ts";
import { bringBack, kill, untilLogsWell } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const READY_MS = 5_000;
const RATE = 100;

const awayAtStart: FaultCase = {
  id: "F4",
  fault: "MongoDB down when the logger starts",
  promise: "the logger starts, says that it is not ready, and is ready by itself when MongoDB is there",
  bar: `ready ≤ ${READY_MS / 1_000} s after MongoDB is up, lost 0`,
  inTests: true,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log } = makeCalls(platform, history, random);
    const logger = platform.stack.part("logger");
    await logger.stop();
    await kill(platform, "mongodb");
    await logger.start();
    await until("the logger says that it is not ready", () => readiness(platform, 503), 10_000);
    const load = startLoad({ rate: RATE, mix: [[log, 1]], random });
    await Bun.sleep(full ? 20_000 : 1_000);
    const wasAlive = await readiness(platform, 503);
    await bringBack(platform, "mongodb");
    const began = performance.now();
    await until("the logger is ready", () => readiness(platform, 200), 60_000);
    const readyMs = performance.now() - began;
    await until("its supervisor sees it", () => logger.state === "running");
    await untilLogsWell(platform);
    const samples = await load.stop();
    return concluded(await history.verdict(), {
      healMs: readyMs,
      figures: { ready_ms: Math.round(readyMs), calls: samples.length },
      broken: [
        ...dishonest(samples),
        ...(wasAlive ? [] : ["the logger did not answer while MongoDB was away"]),
        ...(readyMs > READY_MS ? [`ready only after ${Math.round(readyMs)} ms`] : []),
      ],
    });
  },
};

async function readiness(platform: Platform, status: number): Promise<boolean> {
  return (await fetch(`${platform.url("logger")}/ready`, { signal: AbortSignal.timeout(2_000) })).status === status;
}

const killed: FaultCase = {
  id: "F5",
  fault: "MongoDB killed (-9), and slow by 5 s, 100 entries a second",
  promise: "an entry is acknowledged only after it is stored",
  bar: "acknowledged and not in the store 0, lost 0, twice 0",
  inTests: true,
  async run({ full, random, platform: start, say }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log } = makeCalls(platform, history, random);
    const early: string[] = [];
    const watched = watchAcknowledgements(platform, () => history.nextName("log"), early);
    const load = startLoad({ rate: RATE, mix: [[log, 1]], random });
    let healMs = 0;
    const kills = full ? 10 : 1;
    for (let n = 0; n < kills; n += 1) {
      await Bun.sleep(between(random, 300, 1_500));
      await kill(platform, "mongodb");
      await Bun.sleep(between(random, 500, 2_000));
      await bringBack(platform, "mongodb");
      healMs = Math.max(healMs, await untilLogsWell(platform));
    }
    say("MongoDB is slow");
    const toMongo = platform.hops.proxies["logger-mongodb"];
    // Below the driver's patience, so that acknowledgements come at all; then above it.
    for (const latencyMs of [150, 5_000]) {
      await toMongo.misbehave({ latencyMs });
      await Bun.sleep(full ? 15_000 : 1_200);
    }
    await toMongo.heal();
    await untilLogsWell(platform);
    const checked = await watched.stop();
    const samples = await load.stop();
    const { p99, byDegraded } = summarize(samples);
    return concluded(await history.verdict(), {
      healMs,
      figures: {
        kills,
        calls: samples.length,
        p99_ms: p99,
        queued: byDegraded["logger=queued"] ?? 0,
        acknowledgements_checked: checked,
      },
      broken: [
        ...dishonest(samples),
        ...(early.length > 0 ? [`${early.length} acknowledged before they were stored`] : []),
        ...(checked === 0 ? ["no acknowledgement was looked at"] : []),
      ],
    });
  },
};

/** Logs straight to the logger and looks into the store as soon as it is acknowledged; past the proxy, so at once. */
function watchAcknowledgements(platform: Platform, nextName: () => string, early: string[]) {
  const ending = new AbortController();
  const watching = (async () => {
    let checked = 0;
    while (!ending.signal.aborted) {
      await Bun.sleep(20);
      const name = nextName();
      // No answer says nothing; it is not an acknowledgement.
      const answer = await platform.post("logger", "/log", { name, data: name }).catch(() => undefined);
      if (answer?.status !== 202) continue;
      // Where the store itself is away at this moment, it can't be looked at.
      const stored = await platform.entries.countDocuments({ name }, { maxTimeMS: 1_000 }).catch(() => undefined);
      if (stored === undefined) continue;
      checked += 1;
      if (stored !== 1) early.push(name);
    }
    return checked;
  })();
  return {
    stop: (): Promise<number> => {
      ending.abort();
      return watching;
    },
  };
}

export const cases: readonly FaultCase[] = [awayAtStart, killed];
