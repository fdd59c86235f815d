/** The listener dies with its hands full. */
import { until } from "../../kit.ts";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { makeForeignPublisher, repeat } from "../../../dev/chaos/load.ts";
import { bringBack, kill, metricOf, untilLogsWell } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const killed: FaultCase = {
  id: "F15b",
  fault: "listener killed (-9) while it holds events that the logger can't take",
  promise: "what was not stored goes back to its queue, and is stored when both are back",
  bar: "lost 0, twice 0, no dead letters",
  inTests: true,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    await using foreign = makeForeignPublisher(platform, history, random);
    await until("the foreign client publishes", async () => (await foreign.event.run()).status === 202, 30_000);
    let healMs = 0;
    const rounds = full ? 20 : 1;
    let heldMost = 0;
    for (let round = 0; round < rounds; round += 1) {
      await kill(platform, "logger");
      await repeat(foreign.event, 300, 32);
      const held = await until("the listener has its hands full", () => handful(), 20_000);
      heldMost = Math.max(heldMost, held);
      await kill(platform, "listener");
      // An order in which the listener is back first finds the logger still away.
      if (random() < 0.5) {
        await platform.stack.part("listener").start();
        await bringBack(platform, "logger");
      } else {
        await bringBack(platform, "logger");
        await platform.stack.part("listener").start();
      }
      await until("the listener is ready", () => platform.stack.part("listener").state === "running", 30_000);
      healMs = Math.max(healMs, await untilLogsWell(platform));
    }
    return concluded(await history.verdict(), { healMs, figures: { kills: rounds, held_most: heldMost } });

    async function handful(): Promise<number | undefined> {
      const held = (await metricOf(platform, "listener", "listener_in_hand")) ?? 0;
      return held > 50 ? held : undefined;
    }
  },
};

export const cases: readonly FaultCase[] = [killed];
