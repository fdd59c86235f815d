/** Entries `audit` in the log: who did what to the dead letters. */
import type { DeadLetterChoice } from "#contracts/dead-letters";
import { RPC_LOG_INFO } from "#contracts/logs";
import { Failure, ok, type Result } from "#shared/errors";
import type { RpcClient } from "#shared/rpc";
import { type CallContext, newContext } from "#shared/telemetry";

export const AUDIT = "audit";
/** Longest for one entry (ms). */
const STORE_MS = 5_000;

export interface AuditData {
  readonly action: "dead-letters.replay" | "dead-letters.drop";
  /** Before anything is done; after it. */
  readonly phase: "begin" | "end";
  readonly by: string;
  readonly filter: DeadLetterChoice;
  readonly dry_run: false;
  /** Messages that the filter means. */
  readonly matched: number;
  readonly limit: number;
  readonly rate?: number;
  /** At the end: what came of it, and the entry of the beginning. */
  readonly done?: number;
  readonly left?: number;
  readonly begin?: string;
}

/** Stores an entry under an id; a success is the logger's word that it is stored. */
export type StoreAudit = (id: string, data: AuditData, trace: CallContext["trace"]) => Promise<Result<void>>;

export function makeAudit(logger: () => RpcClient): StoreAudit {
  return async (id, data, trace) => {
    const entry = {
      name: AUDIT,
      data,
      severity: data.action === "dead-letters.drop" ? "WARNING" : "INFO",
      event_id: id,
      created_at: new Date().toISOString(),
    };
    const stored = await logger().call(RPC_LOG_INFO, [entry], { ...newContext(STORE_MS), trace });
    if (stored.ok) return ok();
    const why = "the audit entry could not be stored";
    return { ok: false, error: new Failure("unavailable", why, { cause: stored.error }) };
  };
}
