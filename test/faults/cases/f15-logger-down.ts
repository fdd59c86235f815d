/** The logger is away for long while events keep coming. */
import type { FaultCase } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { makeForeignPublisher, startLoad } from "../../../dev/chaos/load.ts";
import { bringBack, kill, metricOf, queueDepths } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";
import { LOGS_QUEUE } from "#contracts/events";
import { until } from "../../kit.ts";

const RATE = 100;
/** Of the arrivals. */
const CATCH_UP = 5;

/** How long it is away in the full form (s): 120, or what `FAULTS_LOGGER_AWAY_S` says, e.g. 600. */
function awaySeconds(full: boolean): number {
  const asked = Number(process.env["FAULTS_LOGGER_AWAY_S"]);
  if (!full) return 8;
  return Number.isFinite(asked) && asked > 0 ? asked : 120;
}

export const cases: readonly FaultCase[] = [
  {
    id: "F15",
    fault: "the logger away for minutes while the listener runs",
    promise: "nothing is dead-lettered and no attempt is spent; the queue grows, and is caught up with",
    bar: `lost 0, twice 0, dead-lettered 0, caught up at ≥ ${CATCH_UP} times the rate of arrival`,
    inTests: true,
    async run({ full, random, platform: start, say }) {
      const platform = await start();
      const history = makeHistory(platform);
      await using foreign = makeForeignPublisher(platform, history, random);
      // By the listener's own count, which costs those who catch up nothing; the verdict looks into the store.
      const labels = { queue: LOGS_QUEUE, result: "done" };
      const done = async (): Promise<number> =>
        (await metricOf(platform, "listener", "listener_messages_total", labels)) ?? 0;
      const doneBefore = await done();
      const stored = async (): Promise<number> => (await done()) - doneBefore;
      const load = startLoad({ rate: RATE, random, mix: [[foreign.event, 1]] });
      await until("events are stored", async () => (await stored()) > 0);
      await kill(platform, "logger");
      const seconds = awaySeconds(full);
      await Bun.sleep(seconds * 1_000);
      const held = (await metricOf(platform, "listener", "listener_held")) ?? 0;
      const queued = (await queueDepths(platform)).get(LOGS_QUEUE) ?? 0;
      say(`after ${seconds} s: ${queued} in the queue, ${held} in the listener's hands`);
      const before = await stored();
      await bringBack(platform, "logger");
      const returnedAt = performance.now();
      await until("it goes on", async () => (await stored()) > before, 30_000);
      const resumedAt = performance.now();
      say(`stored again ${Math.round(resumedAt - returnedAt)} ms after its return`);
      // Everything that waited by now; what comes meanwhile takes its share of the time.
      const backlog = history.accepted;
      await until("caught up", async () => (await stored()) >= backlog, 180_000);
      const caughtUpAt = performance.now();
      const rate = (backlog - before) / ((caughtUpAt - resumedAt) / 1_000);
      await load.stop();
      const verdict = await history.verdict();
      return concluded(verdict, {
        healMs: caughtUpAt - returnedAt,
        figures: {
          away_s: seconds,
          arrivals_per_s: RATE,
          queued_at_most: queued,
          resumed_after_ms: Math.round(resumedAt - returnedAt),
          caught_up_per_s: Math.round(rate),
        },
        broken: [
          ...(rate >= CATCH_UP * RATE ? [] : [`caught up at ${Math.round(rate)} a second, ${RATE} arrive`]),
          ...(queued + held > 0 ? [] : ["nothing waited: the logger was not away"]),
        ],
      });
    },
  },
];
