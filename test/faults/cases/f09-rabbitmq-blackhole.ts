/** RabbitMQ is connected and swallows everything: nothing is refused, and nothing comes back. */
import { LOGS_EXCHANGE } from "#contracts/events";
import { makePublisher } from "#shared/amqp";
import { Secret } from "#shared/config";
import { makeHealth } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeMetrics, newContext } from "#shared/telemetry";
import type { FaultCase } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, makeForeignPublisher, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { startProxy } from "../../../dev/chaos/proxy.ts";
import { countHits, over, stateOf, untilConsuming, untilEventsFlow } from "../rabbit.ts";
import { concluded } from "../verdicts.ts";
import { type Platform, until } from "../../kit.ts";

const DECIDE_MS = 2_100;
/** A decision, and then the spool's fsync on a busy machine. */
const ANSWER_MS = 2_500;
const DETECT_MS = 30_000;
const HEAL_MS = 5_000;

/** How long the broker's own publisher takes to decide when nothing comes back: the longest of some (ms). */
async function longestDecision(platform: Platform): Promise<number> {
  await using proxy = await startProxy();
  using metrics = makeMetrics("faults", "0");
  const health = makeHealth(silentLog);
  const url = proxy.through(platform.stack.part("rabbitmq").url);
  await using publisher = makePublisher({
    url: new Secret(url),
    name: "faults",
    log: silentLog,
    metrics,
    dependency: health.dependency("rabbitmq"),
  });
  await until("the publisher is connected", () => publisher.state === "connected");
  await proxy.misbehave({ blackhole: true });
  const decisions = Array.from({ length: 50 }, async (_, at) => {
    // Spread, so that some are made while the first ones already fail.
    await Bun.sleep(at * 60);
    const began = performance.now();
    const message = {
      exchange: LOGS_EXCHANGE,
      routingKey: "log.INFO",
      messageId: `decide-${at}`,
      body: new TextEncoder().encode('{"name":"decide","data":0}'),
    };
    const published = await publisher.publish(message, newContext(10_000));
    if (published.ok) throw new Error("confirmed by nobody");
    return performance.now() - began;
  });
  return Math.max(...(await Promise.all(decisions)));
}

/** Until the broker says that RabbitMQ is away, from now (ms). */
async function detection(platform: Platform): Promise<number> {
  const began = performance.now();
  await until("noticed", async () => (await stateOf(platform, "broker", "rabbitmq")) === "down", 60_000);
  return performance.now() - began;
}

export const cases: readonly FaultCase[] = [
  {
    id: "F9",
    fault: "RabbitMQ behind a network that swallows everything",
    promise: "the publisher decides by its own clock, the spool takes over, everything follows after the return",
    bar: `lost 0, twice 0, decision ≤ ${DECIDE_MS} ms, noticed ≤ ${DETECT_MS / 1_000} s, events flow ≤ ${HEAL_MS / 1_000} s after the return`,
    inTests: true,
    async run({ full, random, platform: start, say }) {
      const platform = await start();
      const history = makeHistory(platform);
      const { hit, log } = makeCalls(platform, history, random);
      const hits = await countHits(platform);
      const decisionMs = await longestDecision(platform);
      await using foreign = makeForeignPublisher(platform, history, random);
      const ways = [platform.hops.proxies["broker-rabbitmq"], platform.hops.proxies["listener-rabbitmq"]];
      const load = startLoad({
        rate: 80,
        random,
        mix: [
          [hit, 2],
          [log, 1],
          [foreign.event, 1],
        ],
      });
      await Bun.sleep(1_000);
      for (const way of ways) await way.misbehave({ blackhole: true });
      const noticedMs = await detection(platform);
      say(`noticed after ${Math.round(noticedMs)} ms, with something to publish`);
      await Bun.sleep(full ? 30_000 : 1_000);
      for (const way of ways) await way.heal();
      const healMs = await untilEventsFlow(platform);
      const samples = await load.stop();
      let idleMs: number | undefined;
      if (full) {
        await untilConsuming(platform);
        for (const way of ways) await way.misbehave({ blackhole: true });
        idleMs = await detection(platform);
        say(`noticed after ${Math.round(idleMs)} ms, with nothing to publish`);
        for (const way of ways) await way.heal();
      }
      await untilConsuming(platform, 30_000);
      const ours = samples.filter(({ what }) => what !== "event");
      const missing = await hits.missing(ours.filter(({ what, status }) => what === "hit" && status === 200).length);
      const verdict = await history.verdict();
      const { p99, max } = summarize(ours);
      return concluded(verdict, {
        healMs,
        figures: {
          decision_max_ms: Math.round(decisionMs),
          noticed_ms: Math.round(noticedMs),
          ...(idleMs === undefined ? {} : { noticed_idle_ms: Math.round(idleMs) }),
          calls: ours.length,
          answer_p99_ms: p99,
          answer_max_ms: max,
        },
        broken: [
          ...over("decision", decisionMs, DECIDE_MS),
          ...over("answer", max, ANSWER_MS),
          ...over("noticed", Math.max(noticedMs, idleMs ?? 0), DETECT_MS),
          ...over("until events flow", healMs, HEAL_MS),
          ...dishonest(ours),
          ...(ours.every(({ status }) => status === 200 || status === 202) ? [] : ["a call was refused"]),
          ...missing,
        ],
      });
    },
  },
];
