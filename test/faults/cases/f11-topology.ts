/** Somebody deletes the queue, closes the connections, or puts something of another shape in the queue's place. */
import { LOGS_QUEUE } from "#contracts/events";
import type { FaultCase } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { makeCalls, repeat } from "../../../dev/chaos/load.ts";
import {
  countHits,
  over,
  rabbitmqctl,
  replayUnrouted,
  untilConsuming,
  untilEventsFlow,
  withChannel,
  withConfirms,
} from "../rabbit.ts";
import { waiting } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";
import { until } from "../../kit.ts";

const RESUME_MS = 2_000;
/** Whoever loses its connection again within 10 s waits longer each time, up to 3 s: in the full form each loss is a first one (ms). */
const APART_MS = 10_500;
/** Exit code of a listener that finds its queue with other arguments. */
const MISMATCH = "exit code 3";

export const cases: readonly FaultCase[] = [
  {
    id: "F11",
    fault: "the events' queue deleted, its consumers cancelled, its connections closed, its shape changed",
    promise:
      "consumers are restored; what our broker publishes meanwhile is spooled or parked, and can be replayed; another shape is named, and never deleted",
    bar: `lost 0, twice 0, consuming ≤ ${RESUME_MS / 1_000} s after a deletion and after closed connections, exit code 3 on a mismatch`,
    inTests: true,
    async run({ full, random, platform: start, say }) {
      const platform = await start();
      const history = makeHistory(platform);
      const { hit, log } = makeCalls(platform, history, random);
      const hits = await countHits(platform);
      const rounds = full ? 10 : 2;
      const broken: string[] = [];
      let hitsAccepted = 0;
      const some = async (times: number): Promise<void> => {
        const samples = [...(await repeat(hit, times, 4)), ...(await repeat(log, times, 4))];
        hitsAccepted += samples.filter(({ what, status }) => what === "hit" && status === 200).length;
        const refused = samples.filter(({ status }) => status !== 200 && status !== 202);
        if (refused.length > 0) broken.push(`${refused.length} calls refused: ${refused[0]?.said}`);
      };

      /** What is in a queue goes with it: only an empty one can be deleted without a loss. */
      const emptied = (): Promise<unknown> =>
        until("nothing waits", async () => {
          const waits = await waiting(platform);
          return waits.spooled + waits.queued + waits.inHand === 0;
        });

      let restoredMs = 0;
      for (let round = 0; round < rounds; round += 1) {
        if (full) await Bun.sleep(APART_MS);
        await some(20);
        await emptied();
        await withChannel(platform, (channel) => channel.deleteQueue(LOGS_QUEUE));
        const publishing = some(50);
        restoredMs = Math.max(restoredMs, await untilConsuming(platform));
        await publishing;
      }
      say(`consuming ${Math.round(restoredMs)} ms after its queue was deleted, the longest of ${rounds}`);

      let reopenedMs = 0;
      for (let round = 0; round < (full ? 5 : 1); round += 1) {
        if (full) await Bun.sleep(APART_MS);
        const publishing = some(50);
        await rabbitmqctl(platform, "close_all_connections", "for a test");
        reopenedMs = Math.max(reopenedMs, await untilEventsFlow(platform));
        await untilConsuming(platform);
        await publishing;
      }
      say(`events flow ${Math.round(reopenedMs)} ms after all connections were closed`);

      const listener = platform.stack.part("listener");
      await emptied();
      await listener.stop();
      await withChannel(platform, (channel) => channel.deleteQueue(LOGS_QUEUE));
      await withConfirms(platform, async (channel) => {
        await channel.assertQueue(LOGS_QUEUE, { durable: true, arguments: { "x-queue-type": "classic" } });
        channel.sendToQueue(LOGS_QUEUE, Buffer.from("somebody's own"), { persistent: true });
        await channel.waitForConfirms();
      });
      await listener.start();
      await until("the listener gives up", () => listener.state === "given up", 15_000).catch(() => undefined);
      const reason = "reason" in listener ? String(listener.reason) : "";
      if (listener.state !== "given up" || reason !== MISMATCH)
        broken.push(`a queue of another shape: the listener is ${listener.state} (${reason})`);
      // The queue has no binding: nobody takes what the broker publishes.
      await some(50);
      const left = await withChannel(platform, async (channel) => {
        const message = await channel.get(LOGS_QUEUE, { noAck: true });
        return message === false ? "nothing" : message.content.toString();
      });
      if (left !== "somebody's own") broken.push(`in somebody's queue there is ${left}`);
      await withChannel(platform, (channel) => channel.deleteQueue(LOGS_QUEUE));
      await listener.start();
      const startedAt = performance.now();
      // Before there is a queue nothing flows, and what is published meanwhile is parked.
      await untilConsuming(platform, 60_000);
      await untilEventsFlow(platform);
      const mendedMs = performance.now() - startedAt;
      const replayed = await replayUnrouted(platform);

      broken.push(...(await hits.missing(hitsAccepted, 60_000)));
      const verdict = await history.verdict();
      return concluded(verdict, {
        healMs: Math.max(restoredMs, reopenedMs),
        figures: {
          deletions: rounds,
          hits: hitsAccepted,
          replayed_from_unrouted: replayed,
          consuming_after_deletion_ms: Math.round(restoredMs),
          flowing_after_closed_connections_ms: Math.round(reopenedMs),
          flowing_after_mended_shape_ms: Math.round(mendedMs),
        },
        broken: [
          ...over("consuming after a deletion", restoredMs, RESUME_MS),
          ...over("events flow after closed connections", reopenedMs, RESUME_MS),
          ...broken,
        ],
      });
    },
  },
];
