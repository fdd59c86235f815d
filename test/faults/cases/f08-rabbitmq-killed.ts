/** RabbitMQ is killed, or restarted, again and again under load. */
import type { FaultCase } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, makeForeignPublisher, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { between } from "../../../dev/chaos/random.ts";
import { countHits, over, untilConsuming, untilEventsFlow, untilResumed } from "../rabbit.ts";
import { bringBack, kill } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const RESUME_MS = 5_000;
/** Longest for a new event to get through what waits before it (ms): that depends on the machine, and has no bar. */
const THROUGH_MS = 120_000;

const killed: FaultCase = {
  id: "F8",
  fault: "RabbitMQ killed (-9) and started again, again and again",
  promise: "what RabbitMQ confirmed is stored; what it could not take is spooled, and stored after its return",
  bar: `lost 0, twice 0, consuming ≤ ${RESUME_MS / 1_000} s after each return, no call refused`,
  inTests: true,
  async run({ full, random, platform: start, say }) {
    const platform = await start();
    const history = makeHistory(platform);
    const { hit, log } = makeCalls(platform, history, random);
    const hits = await countHits(platform);
    await using foreign = makeForeignPublisher(platform, history, random);
    const kills = full ? 20 : 1;
    const load = startLoad({
      rate: 150,
      random,
      mix: [
        [foreign.event, 4],
        [hit, 1],
        [log, 1],
      ],
    });
    let healMs = 0;
    let throughMs = 0;
    for (let round = 1; round <= kills; round += 1) {
      await Bun.sleep(between(random, 500, 1_500));
      await kill(platform, "rabbitmq");
      await Bun.sleep(between(random, 0, 1_000));
      const tookMs = await bringBack(platform, "rabbitmq");
      const resumedMs = await untilResumed(platform);
      healMs = Math.max(healMs, resumedMs);
      throughMs = Math.max(throughMs, resumedMs + (await untilEventsFlow(platform, THROUGH_MS)));
      say(`${round} of ${kills}: started in ${Math.round(tookMs)} ms, consuming ${Math.round(resumedMs)} ms later`);
    }
    const samples = await load.stop();
    await untilConsuming(platform);
    const ours = samples.filter(({ what }) => what !== "event");
    const missing = await hits.missing(samples.filter(({ what, status }) => what === "hit" && status === 200).length);
    const verdict = await history.verdict();
    const { p99, max } = summarize(ours);
    return concluded(verdict, {
      healMs,
      figures: {
        kills,
        events_confirmed: samples.filter(({ what, status }) => what === "event" && status === 202).length,
        calls_at_the_broker: ours.length,
        broker_p99_ms: p99,
        broker_max_ms: max,
        through_the_backlog_ms: Math.round(throughMs),
      },
      broken: [
        ...over("consuming again", healMs, RESUME_MS),
        ...dishonest(ours),
        ...(ours.every(({ status }) => status === 200 || status === 202) ? [] : ["a call at the broker was refused"]),
        ...missing,
      ],
    });
  },
};

/** As the issue says it. */
const restarted: FaultCase = {
  id: "F8b",
  fault: "RabbitMQ restarted 10 times in 5 minutes at 500 events a second",
  promise: "every event that it confirmed is stored once, every hit of the broker too",
  bar: `lost 0, twice 0, consuming ≤ ${RESUME_MS / 1_000} s after each return`,
  inTests: false,
  async run({ full, random, platform: start, say }) {
    const platform = await start();
    const history = makeHistory(platform);
    const { hit } = makeCalls(platform, history, random);
    const hits = await countHits(platform);
    await using foreign = makeForeignPublisher(platform, history, random);
    const restarts = full ? 10 : 1;
    const everyMs = full ? 30_000 : 5_000;
    const load = startLoad({
      rate: 500,
      random,
      mix: [
        [foreign.event, 9],
        [hit, 1],
      ],
    });
    const began = performance.now();
    let healMs = 0;
    let throughMs = 0;
    for (let round = 1; round <= restarts; round += 1) {
      await Bun.sleep(Math.max(0, began + (round - 0.5) * everyMs - performance.now()));
      const part = platform.stack.part("rabbitmq");
      await part.stop();
      await bringBack(platform, "rabbitmq");
      const resumedMs = await untilResumed(platform);
      healMs = Math.max(healMs, resumedMs);
      throughMs = Math.max(throughMs, resumedMs + (await untilEventsFlow(platform, THROUGH_MS)));
      say(`${round} of ${restarts}: consuming ${Math.round(resumedMs)} ms after its return`);
    }
    await Bun.sleep(Math.max(0, began + restarts * everyMs - performance.now()));
    const tookMs = performance.now() - began;
    const samples = await load.stop();
    await untilConsuming(platform);
    const ours = samples.filter(({ what }) => what === "hit");
    const missing = await hits.missing(ours.filter(({ status }) => status === 200).length, 60_000);
    const verdict = await history.verdict();
    return concluded(verdict, {
      healMs,
      figures: {
        restarts,
        seconds: Math.round(tookMs / 1_000),
        events_tried: samples.length - ours.length,
        events_confirmed: samples.filter(({ what, status }) => what === "event" && status === 202).length,
        hits: ours.length,
        hit_max_ms: summarize(ours).max,
        through_the_backlog_ms: Math.round(throughMs),
      },
      broken: [
        ...over("consuming again", healMs, RESUME_MS),
        ...dishonest(ours),
        ...(ours.every(({ status }) => status === 200) ? [] : ["a hit was refused"]),
        ...missing,
      ],
    });
  },
};

export const cases: readonly FaultCase[] = [killed, restarted];
