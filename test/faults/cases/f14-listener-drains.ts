/** The listener is told to end while it has its hands full. */
import { LOGS_QUEUE } from "#contracts/events";
import type { FaultCase } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { makeForeignPublisher, repeat } from "../../../dev/chaos/load.ts";
import { over, untilConsuming, withChannel } from "../rabbit.ts";
import { metricOf } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";
import { until } from "../../kit.ts";

const EXIT_MS = 12_000;
/** Two workers with 300 each. */
const PREFETCH = 600;
const EVENTS = 2_000;
/** Events are confirmed at once, and the listener tells twice a second what it has in hand. */
const FULL_MS = 10_000;
/** Each way between listener and logger: a batch is under way for so long that no machine is too quick to be caught in it (ms). */
const LATENCY_MS = 150;

export const cases: readonly FaultCase[] = [
  {
    id: "F14",
    fault: "the listener gets SIGTERM in the middle of a batch",
    promise: "what is in hand is finished or given back, and it ends by itself with code 0",
    bar: `lost 0, twice 0, ended ≤ ${EXIT_MS / 1_000} s, exit code 0, delivered again ≤ ${PREFETCH}`,
    inTests: true,
    async run({ full, random, platform: start, say }) {
      const platform = await start();
      const history = makeHistory(platform);
      const listener = platform.stack.part("listener");
      const rounds = full ? 50 : 3;
      const wire = platform.hops.proxies["listener-logger"];
      let worstMs = 0;
      let again = 0;
      const codes = new Set<string>();
      await using foreign = makeForeignPublisher(platform, history, random);
      await until("the foreign client is connected", async () => (await foreign.event.run()).status === 202);
      for (let round = 1; round <= rounds; round += 1) {
        await untilConsuming(platform);
        const { pid } = listener;
        await wire.misbehave({ latencyMs: LATENCY_MS });
        const feeding = repeat(foreign.event, EVENTS, 500);
        await until(
          "it has its hands full",
          async () => ((await metricOf(platform, "listener", "listener_in_hand")) ?? 0) > 0,
          FULL_MS,
        );
        await Bun.sleep(random() * 150);
        const began = performance.now();
        listener.kill("SIGTERM");
        await until("it ends", () => listener.pid !== pid, EXIT_MS + 10_000);
        worstMs = Math.max(worstMs, performance.now() - began);
        codes.add("reason" in listener ? String(listener.reason) : "");
        await feeding;
        await wire.heal();
        if (round === rounds) again = await deliveredBefore(platform);
        // Not when the supervisor thinks fit, which waits longer each time.
        await listener.stop();
        await listener.start();
        if (round % 10 === 0) say(`${round} of ${rounds}: ended within ${Math.round(worstMs)} ms`);
      }
      await untilConsuming(platform);
      const verdict = await history.verdict();
      const wrong = [...codes].filter((code) => code !== "exit code 0");
      return concluded(verdict, {
        figures: { rounds, exit_max_ms: Math.round(worstMs), delivered_again: again },
        broken: [
          ...over("ended", worstMs, EXIT_MS),
          ...over("delivered again", again, PREFETCH, "messages"),
          ...(wrong.length > 0 ? [`ended with ${wrong.join(", ")}`] : []),
        ],
      });
    },
  },
];

/** Messages in the queue that somebody had before. Looking at them makes them such: once, at the end. */
function deliveredBefore(platform: Parameters<typeof withChannel>[0]): Promise<number> {
  return withChannel(platform, async (channel) => {
    let again = 0;
    for (let got = await channel.get(LOGS_QUEUE); got !== false; got = await channel.get(LOGS_QUEUE))
      if (got.fields.redelivered) again += 1;
    return again;
  });
}
