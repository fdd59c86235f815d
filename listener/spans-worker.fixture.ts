/** worker.ts, in a thread that tells its spans to whoever listens on the channel `spans`. */
import { useSpans } from "#shared/telemetry";

export * from "./worker.ts";

const channel = new BroadcastChannel("spans");
useSpans({ isRootSampled: () => true, record: (span) => channel.postMessage(span) });
