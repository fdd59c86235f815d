/** The logger stops in its tracks (SIGSTOP): connections stay open, answers don't come. */
import { until } from "../../kit.ts";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { freeze, metricOf, untilLogsWell } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const RATE = 200;
const OPEN_MS = 3_000;
const P99_MS = 50;
/** Beside other tests on the same two cores. */
const P99_BESIDE_OTHERS_MS = 300;
const OPEN = 2;

const frozen: FaultCase = {
  id: "F2",
  fault: "logger frozen (SIGSTOP) for 30 s, 200 entries a second",
  promise: "the circuit opens, and calls are fast again by the way over RabbitMQ",
  bar: `open ≤ ${OPEN_MS / 1_000} s, p99 then < ${P99_MS} ms, lost 0, twice 0`,
  inTests: true,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { log } = makeCalls(platform, history, random);
    const load = startLoad({ rate: RATE, mix: [[log, 1]], random });
    // The circuit looks at the last 10 s: when it is well known that all was well, it takes longest to see that it is not.
    await Bun.sleep(full ? 12_000 : 1_000);
    const began = performance.now();
    const freezing = freeze(platform, "logger", full ? 30_000 : 4_000);
    const isOpen = async (): Promise<boolean> =>
      (await metricOf(platform, "broker", "circuitbreaker_state", { name: "logger" })) === OPEN;
    const openMs = await until("the circuit opens", isOpen, 10_000)
      .then(() => performance.now() - began)
      .catch(() => undefined);
    const openAt = load.elapsedMs;
    await freezing;
    const endAt = load.elapsedMs;
    const healMs = await untilLogsWell(platform);
    const samples = await load.stop();
    const verdict = await history.verdict();
    const open = summarize(samples.filter(({ at }) => at > openAt && at < endAt));
    const all = summarize(samples);
    return concluded(verdict, {
      healMs,
      figures: {
        calls: all.calls,
        open_ms: openMs === undefined ? "never" : Math.round(openMs),
        p50_open_ms: open.p50,
        p99_open_ms: open.p99,
        max_ms: all.max,
        queued: all.byDegraded["logger=queued"] ?? 0,
      },
      broken: [
        ...dishonest(samples),
        ...(openMs === undefined || openMs > OPEN_MS ? ["the circuit did not open in time"] : []),
        ...(open.p99 >= (full ? P99_MS : P99_BESIDE_OTHERS_MS) ? [`p99 ${open.p99} ms while open`] : []),
      ],
    });
  },
};

export const cases: readonly FaultCase[] = [frozen];
