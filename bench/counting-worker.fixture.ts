/** The listener's worker, in a thread whose spans are counted and forgotten. */
import { useSpans } from "#shared/telemetry";

export * from "../listener/worker.ts";

let spans = 0;
useSpans({
  isRootSampled: () => true,
  record() {
    spans += 1;
  },
});
