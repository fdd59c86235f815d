/** One verification of the audit trail at a time, for whoever asks: he waits a while, and asks again where it goes on. */
import type { AuditReport } from "#contracts/audit";
import { fail, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import { sleep } from "#shared/resilience";
import type { CallContext } from "#shared/telemetry";
import type { Logs, MongoConnection } from "../mongo.ts";
import type { AuditKey } from "./seal.ts";
import { auditSource } from "./source.ts";
import { Findings, verify } from "./verify.ts";

/** How long one waits for the end (ms): less than the broker does. */
const WAIT_MS = 6_000;
/** How long a report is given again, so that whoever asked before the end hears of it (ms). */
const KEPT_MS = 60_000;

export interface AuditDesk extends AsyncDisposable {
  /** @returns the report, or how far it is; failure `unavailable` where MongoDB is away. */
  report(context: CallContext): Promise<Result<AuditReport>>;
}

interface Running {
  readonly findings: Findings;
  readonly end: Promise<Result<AuditReport>>;
}

function unavailable(cause?: unknown): Result<never> {
  return fail("unavailable", "MongoDB is unavailable", { cause, retryAfterS: 1 });
}

export function makeAuditDesk(
  connection: MongoConnection,
  keys: readonly AuditKey[],
  { log, waitMs = WAIT_MS }: { log: Log; waitMs?: number },
): AuditDesk {
  const stopping = new AbortController();
  let running: Running | undefined;
  /** The last report that somebody was not told of, and until when it is kept. */
  let kept: { report: AuditReport; until: number } | undefined;

  function begin(logs: Logs): Running {
    const findings = new Findings();
    const work = async (): Promise<Result<AuditReport>> => {
      try {
        const report = await verify({ source: auditSource(logs, stopping.signal), keys }, findings);
        if (report.breaks > 0)
          log.error("the audit trail is broken", { breaks: report.breaks, first: report.items[0] });
        return ok(report);
      } catch (cause) {
        return unavailable(cause);
      }
    };
    const begun = { findings, end: work() };
    // What comes after it is another verification. It never fails: failures are its result.
    void begun.end.then(() => {
      if (running === begun) running = undefined;
    });
    return begun;
  }

  return {
    async report(context) {
      if (kept !== undefined && kept.until > performance.now()) {
        const { report } = kept;
        kept = undefined;
        return ok(report);
      }
      kept = undefined;
      if (running === undefined) {
        const { logs } = connection;
        if (logs === undefined) return unavailable();
        running = begin(logs);
      }
      const { findings, end } = running;
      const patience = new AbortController();
      const signal = AbortSignal.any([patience.signal, context.deadline.signal]);
      const late = sleep(waitMs, signal).then(
        () => "late" as const,
        () => "late" as const,
      );
      const first = await Promise.race([end, late]);
      patience.abort();
      if (first !== "late") return first;
      void end.then((result) => {
        if (result.ok) kept = { report: result.value, until: performance.now() + KEPT_MS };
      });
      return ok({ ...findings.report, items: [...findings.report.items] });
    },
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error("the logger is stopping"));
      await running?.end;
    },
  };
}
