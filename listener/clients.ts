/** The listener's way to the logger, by RPC. */
import { LogBatchResult, RPC_LOG_BATCH } from "#contracts/logs";
import { FAILURES, Failure, type FailureCode, fail, ok, type Result } from "#shared/errors";
import { Deadline, RPC_CEILING_MS } from "#shared/resilience";
import type { RpcClient } from "#shared/rpc";
import { type CallContext, newContext, type Trace } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { StoreEntries } from "./consume.ts";

const PROBE_MS = 2_000;

const batchResultOf = makeValidator(LogBatchResult, { name: "result" });

function contextFor(trace: Trace, ms: number): CallContext {
  return { requestId: Bun.randomUUIDv7(), trace, deadline: Deadline.after(ms) };
}

export function makeStore(rpc: RpcClient): StoreEntries {
  return async (entries, trace) => {
    const called = await rpc.call(RPC_LOG_BATCH, [entries], contextFor(trace, RPC_CEILING_MS));
    if (!called.ok) return called;
    const checked = batchResultOf(called.value);
    if (!checked.ok || checked.value.length !== entries.length) {
      return fail("bad_gateway", "the logger answered off its contract");
    }
    return ok(checked.value.map((result) => ("ok" in result ? undefined : failureOfCode(result.error))));
  };
}

function failureOfCode({ code, message }: { code: string; message: string }): Failure {
  return new Failure(Object.hasOwn(FAILURES, code) ? (code as FailureCode) : "internal", message);
}

export function probeLogger(rpc: RpcClient): () => Promise<Result<void>> {
  return async () => {
    const called = await rpc.call("RPCServer.Ping", [], newContext(PROBE_MS));
    return called.ok ? ok() : called;
  };
}
