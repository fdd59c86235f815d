/** RabbitMQ raises its memory alarm: connections stay, and it reads nothing from those that publish. */
import type { FaultCase } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { countHits, over, rabbitmqctl, residentBytes, stateOf, untilEventsFlow } from "../rabbit.ts";
import { bringBack, kill, spooled } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";
import { until } from "../../kit.ts";

const GROWTH_MB = 50;
const ANSWER_MS = 2_500;
const HEAL_MS = 5_000;
const RATE = 100;
const MB = 1_048_576;
/** What RabbitMQ has by default, as a share of the machine's memory. */
const USUAL = "0.4";

export const cases: readonly FaultCase[] = [
  {
    id: "F10",
    fault: "RabbitMQ's memory alarm blocks all publishers",
    promise:
      "what cannot be published is spooled on disk and not held in memory; everything follows when the alarm is over",
    bar: `lost 0, twice 0, no call refused, the broker grows by < ${GROWTH_MB} MB, events flow ≤ ${HEAL_MS / 1_000} s after the alarm`,
    inTests: true,
    async run({ full, random, platform: start, say }) {
      const platform = await start();
      const history = makeHistory(platform);
      const { hit, log } = makeCalls(platform, history, random);
      const hits = await countHits(platform);
      const load = startLoad({
        rate: RATE,
        random,
        mix: [
          [hit, 1],
          [log, 1],
        ],
      });
      // What a process takes once for its first thousand requests is no growth.
      await Bun.sleep(full ? 20_000 : 2_000);
      const { pid } = platform.stack.part("broker");
      if (pid === undefined) throw new Error("the broker does not run");
      const before = await residentBytes(pid);
      let most = before;
      const watch = setInterval(() => {
        // It is there for as long as the case does nothing to it.
        void residentBytes(pid).then((bytes) => (most = Math.max(most, bytes)));
      }, 250);
      let atMost = 0;
      let healMs: number;
      try {
        await rabbitmqctl(platform, "set_vm_memory_high_watermark", "0");
        await until("blocked", async () => (await stateOf(platform, "broker", "rabbitmq")) === "down", 10_000);
        if (full) {
          // Now nothing at all takes entries but the spool.
          await kill(platform, "logger");
          await Bun.sleep(15_000);
          await bringBack(platform, "logger");
        }
        await Bun.sleep(full ? 600_000 : 3_000);
        atMost = await spooled(platform);
        say(`${atMost} records in the spool, the broker grew by ${Math.round((most - before) / MB)} MB`);
      } finally {
        await rabbitmqctl(platform, "set_vm_memory_high_watermark", USUAL);
        clearInterval(watch);
      }
      healMs = await untilEventsFlow(platform);
      const samples = await load.stop();
      const missing = await hits.missing(
        samples.filter(({ what, status }) => what === "hit" && status === 200).length,
        60_000,
      );
      const verdict = await history.verdict();
      const { p99, max } = summarize(samples);
      const grownMb = Math.round((most - before) / MB);
      return concluded(verdict, {
        healMs,
        figures: { calls: samples.length, spooled_at_most: atMost, grown_mb: grownMb, p99_ms: p99, max_ms: max },
        broken: [
          ...over("growth of the broker", grownMb, GROWTH_MB, "MB"),
          ...over("answer", max, ANSWER_MS),
          ...over("until events flow", healMs, HEAL_MS),
          ...(atMost > 0 ? [] : ["nothing was spooled: there was no alarm"]),
          ...dishonest(samples),
          ...(samples.every(({ status }) => status === 200 || status === 202) ? [] : ["a call was refused"]),
          ...missing,
        ],
      });
    },
  },
];
