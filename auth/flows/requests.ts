/**
 * Somebody asks for a mail to an address. The answer is the same whether somebody has that address or nobody, and so is the work before
 * it: one row. Who it is for is looked at afterwards, in the background, through every restart.
 */
import { Failure, messageOf, ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { Database, Sql } from "#shared/postgres";
import { Deadline, databaseBackoff, keepTrying, makeBell } from "#shared/resilience";
import { asSpan, type CallContext, type Metrics, traceOf, traceparentOf } from "#shared/telemetry";
import type { Origin, Outbox } from "../outbox/outbox.ts";
import { holderOf } from "../users/addresses.ts";
import type { LinkPurpose } from "./letters.ts";
import type { Links } from "./links.ts";

/** Requests that may wait to be looked at; more are answered 503. */
const WAITING_MAX = 10_000;
/** Between two looks for what another replica left (ms). */
const LOOK_MS = 5_000;
/** For one request (ms), and for the database to be there. */
const WORK_MS = 5_000;
const READY_MS = 60_000;

export interface MailRequests extends AsyncDisposable {
  /**
   * Notes the request; a mail follows where the address is that of an active user, for `verify_address` one whose address is not
   * verified. Twice before it was looked at is once.
   * @returns failure `unavailable`, `deadline`: nothing was noted.
   */
  ask(purpose: LinkPurpose, email: string, context: CallContext): Promise<Result<void>>;
}

export interface MailRequestsPorts {
  database: Database;
  links: Pick<Links, "sendAsked">;
  outbox: Pick<Outbox, "put" | "ring">;
  log: Log;
  metrics: Metrics;
}

interface Row {
  id: string;
  purpose: LinkPurpose;
  email: string;
  request_id: string;
  traceparent: string;
  address: string | null;
  agent: string | null;
  waited_ms: number;
}

/** Starts to look at requests in the background. */
export function runMailRequests({ database, links, outbox, log, metrics }: MailRequestsPorts): MailRequests {
  const closing = new AbortController();
  const bell = makeBell();
  const mails = metrics.counter("auth_mail_requests_total", "Mails that were asked for by address.", [
    "purpose",
    "result",
  ]);

  /** As a span of the request that asked for it. */
  function outcomeOf(sql: Sql, row: Row): Promise<string> {
    const { purpose, waited_ms, request_id, traceparent, address, agent } = row;
    const client = address === null ? undefined : { address, ...(agent === null ? {} : { agent }) };
    const origin = { requestId: request_id, trace: traceOf(traceparent), ...(client === undefined ? {} : { client }) };
    const attributes = { "platform.purpose": purpose, "platform.waited_ms": Math.round(waited_ms) };
    return asSpan(origin, "mail request", { attributes }, (own) => decide(sql, row, own));
  }

  async function decide(sql: Sql, { purpose, email }: Row, origin: Origin): Promise<string> {
    const user = await holderOf(sql, email);
    if (user?.active !== 1) return "nobody";
    if (purpose === "verify_address" && user.emailVerifiedAt !== null) return "verified";
    if (!(await links.sendAsked(sql, purpose, user, origin))) return "too_many";
    const data = { action: `${purpose}.asked`, by: "auth", user_id: user.id };
    await outbox.put(sql, [{ kind: "audit", data }], origin);
    return "sent";
  }

  /** @returns whether there was one. */
  async function next(): Promise<boolean> {
    let row: Row | undefined;
    const done = await database.transaction(
      async (sql) => {
        [row] = await sql<Row[]>`
          delete from mail_requests where id = (
            select id from mail_requests order by created_at limit 1 for update skip locked)
          returning id, purpose, email, request_id, traceparent, address, agent,
            (extract(epoch from clock_timestamp() - created_at) * 1000)::float8 as waited_ms`;
        return row === undefined ? undefined : outcomeOf(sql, row);
      },
      { deadline: Deadline.after(WORK_MS, closing.signal), retry: false },
    );
    if (row === undefined) return done.ok ? false : Promise.reject(done.error);
    if (done.ok) {
      mails.inc({ purpose: row.purpose, result: done.value ?? "nobody" });
      outbox.ring();
      return true;
    }
    if (done.error.code !== "internal") throw done.error;
    // By its own fault: it must not stand in the way of the others.
    log.error("a mail that was asked for cannot be made: this is a bug", { id: row.id, reason: messageOf(done.error) });
    mails.inc({ purpose: row.purpose, result: "failed" });
    await drop(row.id);
    return true;
  }

  async function drop(id: string): Promise<void> {
    const dropped = await database.query((sql) => sql`delete from mail_requests where id = ${id}`, {
      deadline: Deadline.after(WORK_MS, closing.signal),
      retry: true,
    });
    if (!dropped.ok) throw dropped.error;
  }

  async function lookAtAll(): Promise<void> {
    const ready = await database.ready(Deadline.after(READY_MS, closing.signal));
    if (!ready.ok) throw ready.error;
    while (!closing.signal.aborted && (await next()));
  }

  async function work(): Promise<void> {
    while (!closing.signal.aborted) {
      await keepTrying(lookAtAll, {
        backoff: databaseBackoff,
        signal: closing.signal,
        onFailure: (error) => log.debug("mails that were asked for wait", { reason: messageOf(error) }),
      });
      await bell.wait(LOOK_MS);
    }
  }
  const working = work().catch((error: unknown) => {
    if (!closing.signal.aborted) throw error;
  });

  return {
    async ask(purpose, email, context) {
      const { requestId, trace, client } = context;
      const noted = await database.query(
        async (sql) => {
          const waiting = await sql`select 1 from mail_requests offset ${WAITING_MAX - 1} limit 1`;
          if (waiting.length > 0) throw new Failure("unavailable", "too many mails wait", { retryAfterS: 10 });
          await sql`
            insert into mail_requests (id, purpose, email, request_id, traceparent, address, agent)
            values (${Bun.randomUUIDv7()}, ${purpose}, ${email}, ${requestId}, ${traceparentOf(trace)},
              ${client?.address ?? null}, ${client?.agent ?? null})
            on conflict do nothing`;
        },
        { ...context, retry: true },
      );
      if (!noted.ok) return noted;
      bell.ring();
      return ok();
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new Error("auth is stopping"));
      bell.ring();
      await working;
    },
  };
}
