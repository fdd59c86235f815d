/** The listener's way to the logger, by RPC. */
import { LogBatchResult, type LogEntry, RPC_LOG_BATCH } from "#contracts/logs";
import { FAILURES, Failure, type FailureCode, fail, ok, type Result } from "#shared/errors";
import { Deadline, RPC_CEILING_MS } from "#shared/resilience";
import type { RpcClient } from "#shared/rpc";
import {
  type CallContext,
  childOf,
  isRecorded,
  preciseNow,
  quietContext,
  recordSpan,
  type Trace,
  traceparentOf,
} from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { StoreEntries, TracedEntry } from "./consume.ts";

const PROBE_MS = 2_000;

const batchResultOf = makeValidator(LogBatchResult, { name: "result" });

function contextFor(trace: Trace, ms: number): CallContext {
  return { requestId: Bun.randomUUIDv7(), trace, deadline: Deadline.after(ms) };
}

type Stored = Awaited<ReturnType<StoreEntries>>;

/**
 * Stores entries in one call. Each is stored under its own trace, whichever it comes together with.
 *
 * Of those that are recorded each gets a span `store` in its own trace, and the logger tells the rest of it there. The
 * call itself can be in one trace only: that of the first of them, as `store batch`, with links to all.
 */
export function makeStore(rpc: RpcClient): StoreEntries {
  async function call(entries: readonly LogEntry[], trace: Trace): Promise<Stored> {
    const called = await rpc.call(RPC_LOG_BATCH, [entries], contextFor(trace, RPC_CEILING_MS));
    if (!called.ok) return called;
    const checked = batchResultOf(called.value);
    if (!checked.ok || checked.value.length !== entries.length) {
      return fail("bad_gateway", "the logger answered off its contract");
    }
    return ok(checked.value.map((result) => ("ok" in result ? undefined : failureOfCode(result.error))));
  }

  return async (entries) => {
    const [first] = entries;
    if (first === undefined) return ok([]);
    const startedAt = preciseNow();
    const stores = entries.map(({ trace }) => (isRecorded(trace) ? childOf(trace) : trace));
    const leader = stores.find(isRecorded);
    const isOne = stores.length === 1;
    const batch = isOne || leader === undefined ? undefined : childOf(leader);
    const trace = batch ?? stores[0] ?? first.trace;
    // Alone, it is stored under the trace of the call.
    const sent = entries.map(({ entry }, index) =>
      isOne ? entry : { ...entry, traceparent: traceparentOf(stores[index] ?? trace) },
    );
    const result = await call(sent, trace);
    if (leader !== undefined) tell(entries, stores, batch, result, startedAt);
    return result;
  };
}

function tell(
  entries: readonly TracedEntry[],
  stores: readonly Trace[],
  batch: Trace | undefined,
  result: Stored,
  startedAt: number,
): void {
  const endedAt = preciseNow();
  const links = batch === undefined ? [] : [batch];
  for (const [index, trace] of stores.entries()) {
    const failure = result.ok ? result.value[index] : result.error;
    const attributes = { "log.record.uid": entries[index]?.entry.event_id };
    recordSpan(trace, { name: "store", startedAt, endedAt, attributes, links, ...errorOf(failure) });
  }
  if (batch === undefined) return;
  recordSpan(batch, {
    name: "store batch",
    startedAt,
    endedAt,
    attributes: { "messaging.batch.message_count": entries.length },
    links: stores.filter(isRecorded),
    ...errorOf(result.ok ? undefined : result.error),
  });
}

function errorOf(failure: Failure | undefined): { error?: FailureCode } {
  return failure === undefined ? {} : { error: failure.code };
}

function failureOfCode({ code, message }: { code: string; message: string }): Failure {
  return new Failure(Object.hasOwn(FAILURES, code) ? (code as FailureCode) : "internal", message);
}

export function probeLogger(rpc: RpcClient): () => Promise<Result<void>> {
  return async () => {
    const called = await rpc.call("RPCServer.Ping", [], quietContext(PROBE_MS));
    return called.ok ? ok() : called;
  };
}
