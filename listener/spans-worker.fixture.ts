/** worker.ts, in a thread that tells its spans to whoever listens on the channel `spans`. */
import { type FinishedSpan, useSpans } from "#shared/telemetry";

export * from "./worker.ts";

const channel = new BroadcastChannel("spans");
const tell: (span: FinishedSpan) => void = channel.postMessage.bind(channel);
useSpans({ isRootSampled: () => true, record: tell });
