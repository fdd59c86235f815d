/**
 * A refresh token works once, and gives the next one. Whoever comes again within 10 s gets the same successor: his
 * answer was lost, or two tabs asked at once. After that, an old token is in hands that it was not meant for, or the one
 * that counts is: the session ends (RFC 9700 §4.14.2). Knows no HTTP and no SQL.
 */
import { ACCESS_TOKEN, type TokenReply } from "#contracts/auth";
import { fail, ok, type Result } from "#shared/errors";
import type { Sql } from "#shared/postgres";
import type { CallContext, Metrics } from "#shared/telemetry";
import { hashOf } from "../keys.ts";
import type { Outbox } from "../outbox/outbox.ts";
import { auditOf } from "./audit.ts";
import type { Ending } from "./end.ts";
import type { LockedToken, SessionStore } from "./session-store.ts";
import type { Tokens } from "./tokens.ts";

/** How long an old token gives its successor again (ms). */
const GRACE_MS = 10_000;
/** Successors that may follow one another within that time. */
const MAX_STEPS = 64;

/**
 * @returns failure `unauthenticated`, the same for whatever is wrong with the token or its session; `unavailable`,
 * `deadline`: then the same token may be used again.
 */
export type Refresh = (token: string, context: CallContext) => Promise<Result<TokenReply>>;

export interface RefreshPorts {
  sessions: Pick<SessionStore, "atomically" | "lockToken" | "rotate">;
  tokens: Pick<Tokens, "sign">;
  ending: Pick<Ending, "endSession">;
  outbox: Outbox;
  /** The token that follows another one (keys.ts). */
  successorOf: (token: string) => string;
  /** A session lasts that long after its last use, and in all (ms). */
  life: { readonly idleMs: number; readonly maxMs: number };
  /** Default 10,000. */
  graceMs?: number;
  metrics: Metrics;
}

type Outcome =
  | { readonly as: "rotated" | "again"; readonly token: string; readonly held: LockedToken }
  | { readonly as: "refused" | "reused" };

export function makeRefresh(ports: RefreshPorts): Refresh {
  const { sessions, tokens, ending, outbox, successorOf, life, graceMs = GRACE_MS, metrics } = ports;
  const refreshes = metrics.counter("auth_refreshes_total", "Refreshes of sessions by their result.", ["result"]);

  async function decide(sql: Sql, given: string, context: CallContext): Promise<Outcome> {
    const held = await sessions.lockToken(sql, hashOf(given));
    if (held === undefined || !held.lives || held.user.active !== 1) return { as: "refused" };
    const { sessionId, user } = held;
    if (held.rotatedMs !== undefined && held.rotatedMs > graceMs) {
      await ending.endSession(sql, user.id, sessionId, "reuse");
      const entry = auditOf("session.reuse", `user:${user.id}`, { session_id: sessionId }, "WARNING");
      await outbox.put(sql, [entry], context);
      return { as: "reused" };
    }
    // The one that counts: the successor's successor, where others have gone on meanwhile. It follows from the token.
    let token = given;
    let last: LockedToken | undefined = held;
    for (let step = 0; last?.rotatedMs !== undefined && step < MAX_STEPS; step += 1) {
      token = successorOf(token);
      last = await sessions.lockToken(sql, hashOf(token));
    }
    if (last === undefined) return { as: "refused" };
    if (token !== given) return { as: "again", token, held };
    const next = successorOf(given);
    await sessions.rotate(sql, { sessionId, from: hashOf(given), to: hashOf(next) }, life);
    return { as: "rotated", token: next, held };
  }

  return async (given, context) => {
    const done = await sessions.atomically((sql) => decide(sql, given, context), context);
    refreshes.inc({ result: done.ok ? done.value.as : done.error.code });
    if (!done.ok) return done;
    const { value } = done;
    if (!("held" in value)) {
      if (value.as === "reused") outbox.ring();
      return fail("unauthenticated", "the refresh token is not valid: log in again");
    }
    const { user, sessionId, startedAt } = value.held;
    const accessToken = await tokens.sign({ user, sessionId, authTime: startedAt });
    if (!accessToken.ok) return accessToken;
    const leftMs = startedAt.getTime() + life.maxMs - Date.now();
    return ok({
      access_token: accessToken.value,
      refresh_token: value.token,
      expires_in: ACCESS_TOKEN.lifetimeS,
      refresh_expires_in: Math.max(0, Math.floor(Math.min(life.idleMs, leftMs) / 1_000)),
      session_id: sessionId,
    });
  };
}
