/** RPC in: translates, never decides. */
import {
  LOG_BATCH_MAX,
  LOG_SUCCEEDED,
  type LogBatchResult,
  RPC_FIND,
  RPC_LOG_BATCH,
  RPC_LOG_INFO,
  RPC_LOG_ONCE,
} from "#contracts/logs";
import { FAILURES, fail, ok } from "#shared/errors";
import type { RpcMethod } from "#shared/rpc";
import type { Entries } from "./entries.ts";
import type { Finder } from "./find.ts";
import { inStore } from "./spans.ts";

export function methodsOf(entries: Entries, finder: Finder): Record<string, RpcMethod> {
  return {
    [RPC_LOG_INFO]: async (params, context) => {
      if (params.length !== 1) return fail("invalid", "params must be a list of one entry");
      const result = await entries.takeEntry(params[0], context);
      return result.ok ? ok(LOG_SUCCEEDED) : result;
    },
    [RPC_LOG_BATCH]: async (params, context) => {
      const [batch] = params;
      if (params.length !== 1 || !Array.isArray(batch)) {
        return fail("invalid", "params must be a list of one list of entries");
      }
      if (batch.length > LOG_BATCH_MAX) return fail("invalid", `a batch has at most ${LOG_BATCH_MAX} entries`);
      const results = await inStore(context, batch.length, (within) =>
        Promise.all(batch.map((entry) => entries.takeEntry(entry, within))),
      );
      const answer: LogBatchResult = results.map((result) =>
        result.ok ? { ok: true } : { error: { code: FAILURES[result.error.code].rpc, message: result.error.message } },
      );
      return ok(answer);
    },
    [RPC_LOG_ONCE]: (params, context) =>
      params.length === 1
        ? entries.takeOnce(params[0], context)
        : fail("invalid", "params must be a list of one entry"),
    [RPC_FIND]: (params, context) =>
      params.length === 1
        ? finder.find(params[0], context)
        : fail("invalid", "params must be a list of one list of event_ids"),
  };
}
