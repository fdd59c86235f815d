/** The broker is killed (-9) while only its spool can take what it accepts. */
import { until } from "../../kit.ts";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, repeat, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { between } from "../../../dev/chaos/random.ts";
import { bringBack, cutOff, kill, SPOOL_ONLY, spooled, untilLogsWell } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const RATE = 200;

const again: FaultCase = {
  id: "F6",
  fault: "broker killed (-9) again and again while logger and RabbitMQ are away, 200 entries a second",
  promise: "what was answered 202 is on disk, and arrives",
  bar: "acknowledged and missing 0, twice 0",
  inTests: true,
  async run({ full, random, platform: start, say }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log, hit } = makeCalls(platform, history, random);
    await cutOff(platform, SPOOL_ONLY);
    const load = startLoad({
      rate: RATE,
      mix: [
        [log, 9],
        [hit, 1],
      ],
      random,
    });
    const kills = full ? 100 : 3;
    let mostMs = 0;
    for (let n = 1; n <= kills; n += 1) {
      await Bun.sleep(between(random, 100, 1_500));
      await kill(platform, "broker");
      mostMs = Math.max(mostMs, await bringBack(platform, "broker"));
      if (n % 10 === 0) say(`${n} of ${kills} kills, ${history.accepted} accepted, ${await spooled(platform)} spooled`);
    }
    const kept = await spooled(platform);
    const samples = await load.stop();
    await platform.hops.heal();
    const healMs = await untilLogsWell(platform);
    const { byDegraded } = summarize(samples);
    return concluded(await history.verdict({ withinMs: 120_000 }), {
      healMs,
      figures: {
        kills,
        calls: samples.length,
        answered_spooled: byDegraded["logger=spooled"] ?? 0,
        in_the_spool: kept,
        ready_again_ms: Math.round(mostMs),
      },
      broken: [...dishonest(samples, true), ...(kept === 0 ? ["nothing was in the spool: nothing was tried"] : [])],
    });
  },
};

const thousand: FaultCase = {
  id: "F6b",
  fault: "broker killed (-9) with 1,000 entries in its spool, and again while it hands them on",
  promise: "all arrive, once",
  bar: "lost 0, twice 0",
  inTests: true,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log } = makeCalls(platform, history, random);
    await cutOff(platform, SPOOL_ONLY);
    const samples = await repeat(log, full ? 1_000 : 300, 32);
    const kept = await spooled(platform);
    await kill(platform, "broker");
    await bringBack(platform, "broker");
    const after = await spooled(platform);
    const began = performance.now();
    await platform.hops.heal();
    // In the middle of it, if it can be caught there.
    await until("it has begun to hand on", async () => (await spooled(platform)) < after, 15_000);
    await kill(platform, "broker");
    await bringBack(platform, "broker");
    const healMs = await untilLogsWell(platform);
    const verdict = await history.verdict();
    return concluded(verdict, {
      healMs,
      figures: {
        calls: samples.length,
        spooled: kept,
        spooled_after_kill: after,
        all_there_ms: Math.round(performance.now() - began),
      },
      broken: [
        ...dishonest(samples),
        ...(after < kept ? [`${kept - after} entries less in the spool after the kill`] : []),
        ...(kept < samples.length ? [`only ${kept} of ${samples.length} were spooled`] : []),
      ],
    });
  },
};

export const cases: readonly FaultCase[] = [again, thousand];
