/** A worker thread of the listener dies or hangs in the middle of its work. In this process, to be able to reach its threads. */
import { loadConfig } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { start as startListener } from "../../../listener/app.ts";
import { fields } from "../../../listener/config.ts";
import type { FaultCase } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { makeForeignPublisher, startLoad } from "../../../dev/chaos/load.ts";
import { over, untilConsuming } from "../rabbit.ts";
import type { Command, Failing } from "../rabbit-worker.fixture.ts";
import { concluded } from "../verdicts.ts";
import { until } from "../../kit.ts";

const RESPAWN_MS = 1_000;
/** A thread that says nothing is given this long before it is taken for stuck (ms), and looked at every second. */
const SILENT_MS = 11_000;
const WAYS: readonly ("terminate" | Failing)[] = ["terminate", "throw", "reject", "spin"];

export const cases: readonly FaultCase[] = [
  {
    id: "F13",
    fault: "a worker thread of the listener is terminated, throws, rejects, spins",
    promise: "it is started again, and what it had in hand is delivered again",
    bar: `lost 0, twice 0, started again ≤ ${RESPAWN_MS} ms after it ended (one that spins: after ${SILENT_MS / 1_000} s of silence)`,
    inTests: true,
    async run({ full, random, platform: start, say }) {
      const platform = await start();
      // Only one listener, so that what the broken one has in hand is its own.
      await platform.stack.part("listener").stop();
      const history = makeHistory(platform);
      const worst: Record<string, number> = {};
      const rounds = full ? 5 : 1;
      for (let round = 0; round < rounds; round += 1) {
        const opened: Worker[] = [];
        // A worker for each way, so that none of them waits out the backoff of another.
        const config = loadConfig("listener", fields, {
          ...platform.hops.environment("listener"),
          LISTENER_PORT: "0",
          LISTENER_WORKERS: String(WAYS.length),
          LISTENER_PREFETCH: "50",
          LOG_LEVEL: "silent",
        });
        const runtime = makeRuntime("listener", silentLog, () => undefined);
        const app = await startListener(config, runtime, {
          openWorker() {
            const worker = new Worker(new URL("../rabbit-worker.fixture.ts", import.meta.url));
            opened.push(worker);
            return worker;
          },
        });
        try {
          await until("ready", () => runtime.health.ready, 20_000);
          await untilConsuming(platform);
          await using foreign = makeForeignPublisher(platform, history, random);
          const load = startLoad({ rate: 200, random, mix: [[foreign.event, 1]] });
          await Bun.sleep(1_000);
          const victims = opened.slice(0, WAYS.length);
          // One after the other, the one that takes longest to be noticed last.
          for (const [index, how] of WAYS.entries()) {
            const victim = victims[index];
            if (victim === undefined) throw new Error("there is no such worker");
            const before = opened.length;
            const began = performance.now();
            if (how === "terminate") victim.terminate();
            else victim.postMessage({ type: "fail", how } satisfies Command, []);
            await until(`started again after ${how}`, () => opened.length > before, SILENT_MS + 5_000);
            worst[how] = Math.max(worst[how] ?? 0, performance.now() - began);
          }
          await untilConsuming(platform);
          await load.stop();
        } finally {
          await app[Symbol.asyncDispose]();
          runtime.metrics[Symbol.dispose]();
        }
        say(`round ${round + 1} of ${rounds}: ${history.accepted} events`);
      }
      await platform.stack.part("listener").start();
      await untilConsuming(platform);
      const verdict = await history.verdict();
      const figures = Object.entries(worst).map(([how, ms]) => [`${how}_ms`, Math.round(ms)] as const);
      return concluded(verdict, {
        healMs: Math.max(...Object.values(worst)),
        figures: { rounds, ...Object.fromEntries(figures) },
        broken: Object.entries(worst).flatMap(([how, ms]) =>
          over(`started again after ${how}`, ms, how === "spin" ? SILENT_MS + RESPAWN_MS : RESPAWN_MS),
        ),
      });
    },
  },
];
