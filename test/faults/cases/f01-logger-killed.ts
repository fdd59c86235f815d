/** The logger is killed (-9) again and again under load. */
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, repeat, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { between } from "../../../dev/chaos/random.ts";
import { bringBack, kill, untilLogsWell } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const RATE = 200;
const HEAL_MS = 5_000;
/** After fifty kills most of what was accepted waits in RabbitMQ: some ten thousand entries. */
const DRAIN_MS = 30_000;
const P99_MS = 2_500;

const underLoad: FaultCase = {
  id: "F1",
  fault: "logger killed (-9) again and again, 200 entries a second",
  promise: "every log call is accepted meanwhile, and its entry is stored once",
  bar: `lost 0, twice 0, p99 ≤ ${P99_MS} ms, log calls undegraded ≤ ${HEAL_MS / 1_000} s after its return, queues empty ≤ ${DRAIN_MS / 1_000} s after the last`,
  inTests: true,
  async run({ full, random, platform: start, say }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log } = makeCalls(platform, history, random);
    const kills = full ? 50 : 1;
    const load = startLoad({ rate: RATE, mix: [[log, 1]], random });
    let healMs = 0;
    for (let n = 1; n <= kills; n += 1) {
      await Bun.sleep(between(random, 200, 1_500));
      await kill(platform, "logger");
      await Bun.sleep(between(random, 0, 2_000));
      await bringBack(platform, "logger");
      healMs = Math.max(healMs, await untilLogsWell(platform));
      if (n % 10 === 0) say(`${n} of ${kills} kills`);
    }
    const samples = await load.stop();
    const verdict = await history.verdict();
    const { p99, max, byDegraded } = summarize(samples);
    return concluded(verdict, {
      healMs,
      figures: { kills, calls: samples.length, p99_ms: p99, max_ms: max, queued: byDegraded["logger=queued"] ?? 0 },
      broken: [
        ...dishonest(samples),
        ...(samples.some(({ status }) => status !== 202) ? ["not every call was accepted"] : []),
        ...(p99 > P99_MS ? [`p99 ${p99} ms`] : []),
        ...(healMs > HEAL_MS ? [`undegraded only ${Math.round(healMs)} ms after the logger's return`] : []),
      ],
      drainWithinMs: DRAIN_MS,
    });
  },
};

/** As the issue says it: 10,000 calls, five kills. */
const tenThousand: FaultCase = {
  id: "F1b",
  fault: "10,000 log calls while the logger is killed (-9) five times",
  promise: "every one accepted and stored once",
  bar: `lost 0, twice 0, spool and queues empty ≤ ${HEAL_MS / 1_000} s after its return`,
  inTests: false,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log } = makeCalls(platform, history, random);
    const calls = full ? 10_000 : 1_000;
    const calling = repeat(log, calls, 32);
    let kills = 0;
    let healMs = 0;
    for (; kills < (full ? 5 : 1); kills += 1) {
      await Bun.sleep(between(random, 200, 1_000));
      await kill(platform, "logger");
      await Bun.sleep(between(random, 0, 1_500));
      await bringBack(platform, "logger");
      healMs = Math.max(healMs, await untilLogsWell(platform));
    }
    const samples = await calling;
    const verdict = await history.verdict();
    const { p99, byDegraded } = summarize(samples);
    return concluded(verdict, {
      healMs: Math.max(healMs, verdict.drainMs ?? 0),
      figures: { kills, calls, p99_ms: p99, queued: byDegraded["logger=queued"] ?? 0 },
      broken: [
        ...dishonest(samples),
        ...(verdict.accepted < calls ? [`${calls - verdict.accepted} of ${calls} not accepted`] : []),
        ...(healMs > HEAL_MS ? [`undegraded only ${Math.round(healMs)} ms after the logger's return`] : []),
      ],
      drainWithinMs: HEAL_MS,
    });
  },
};

export const cases: readonly FaultCase[] = [underLoad, tenThousand];
