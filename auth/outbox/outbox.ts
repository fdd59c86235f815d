/**
 * What has to be told or sent, written in the transaction of what it is about: either both are there, or neither. The
 * relay (relay.ts) brings it out, at least once, under the id that it has here.
 */
import { type Revocation, routingKeyOfRevocation, SIGNING_KEYS_CHANGED } from "#contracts/identity";
import type { MailMessage } from "#contracts/mail";
import type { Sql } from "#shared/postgres";
import { type CallContext, type Client, newTrace, preciseNow, recordSpan, traceparentOf } from "#shared/telemetry";
import type { Sealer } from "../keys.ts";

/** `data` of an entry `audit`: never a password, a token or a key. */
export interface AuditData {
  /** What was done, as `login.ok`, `user.changed`. */
  readonly action: string;
  /** Whose doing it was: `user:<id>`, `service:<name>`, `auth`, `command`. */
  readonly by: string;
  /** What else there is to know. Values that JSON can carry. */
  readonly [detail: string]: unknown;
}

/** Longest that a mail is tried where the item says nothing (ms): three days. */
const MAIL_MS = 3 * 86_400_000;

export type OutboxItem =
  /** An entry `audit` in the log. */
  | { readonly kind: "audit"; readonly data: AuditData; readonly severity?: "INFO" | "WARNING" }
  /** What ends before its time (sessions/end.ts writes the row that goes with it). */
  | { readonly kind: "identity"; readonly revocation: Revocation }
  | { readonly kind: "signing_keys" }
  /** A mail for the mail service. After `until` (default three days) it is not sent any more: its link is worth nothing. */
  | { readonly kind: "mail"; readonly mail: MailMessage; readonly until?: Date };

/** The lanes: what is in one of them waits for nothing in another. */
export const LANES = ["identity", "audit", "mail"] as const;
export type Lane = (typeof LANES)[number];

/** What lies sealed in the table. */
export type Parcel =
  | { readonly to: "identity"; readonly key: string; readonly body: Revocation | Record<string, never> }
  | { readonly to: "audit"; readonly severity: "INFO" | "WARNING"; readonly data: AuditData; readonly at: string }
  | { readonly to: "mail"; readonly mail: MailMessage; readonly until: string };

/** Heard by the relays of all replicas, once the transaction is committed. */
export const OUTBOX_CHANNEL = "auth_outbox";

/** What of a request goes along with what it leads to. */
export type Origin = Pick<CallContext, "requestId" | "trace" | "client">;

export interface Outbox {
  /**
   * Inside a transaction. All that is put is brought out after its commit, and nothing of it after a rollback.
   * @param origin the request that it comes of: its id and trace go along (default: a new one); audit entries also say
   * where it came from.
   */
  put(sql: Sql, items: readonly OutboxItem[], origin?: Origin): Promise<void>;
  /** After the commit: brings it out at once. Nobody has to: other ways of waking are there. */
  ring(): void;
}

/** @param sealer of the outbox (keys.ts): what lies in the table has links in it that let somebody in. */
export function makeOutbox(sealer: Sealer, ring: () => void = () => undefined): Outbox {
  return {
    async put(sql, items, origin) {
      const requestId = origin?.requestId ?? Bun.randomUUIDv7();
      const trace = origin?.trace ?? newTrace();
      // Its beginning, where no request is: what is brought out of it later is a part of that.
      if (origin === undefined) recordSpan(trace, { name: "outbox put", startedAt: preciseNow() });
      const traceparent = traceparentOf(trace);
      for (const item of items) {
        const parcel = parcelOf(item, origin?.client);
        const id = idOf(item);
        await sql`
          insert into outbox (id, kind, body, request_id, traceparent)
          values (${id}, ${parcel.to}, ${sealer.seal(JSON.stringify(parcel), id)}, ${requestId}, ${traceparent})
          on conflict (id) do nothing`;
      }
      if (items.length > 0) await sql`select pg_notify(${OUTBOX_CHANNEL}, '')`;
    },
    ring,
  };
}

/** A revocation is told under its own id. */
function idOf(item: OutboxItem): string {
  return item.kind === "identity" ? item.revocation.id : Bun.randomUUIDv7();
}

function parcelOf(item: OutboxItem, client: Client | undefined): Parcel {
  if (item.kind === "audit") {
    const { severity = "INFO", data } = item;
    return { to: "audit", severity, data: { ...client, ...data }, at: new Date().toISOString() };
  }
  if (item.kind === "mail") {
    return { to: "mail", mail: item.mail, until: (item.until ?? new Date(Date.now() + MAIL_MS)).toISOString() };
  }
  if (item.kind === "signing_keys") return { to: "identity", key: SIGNING_KEYS_CHANGED, body: {} };
  return { to: "identity", key: routingKeyOfRevocation(item.revocation), body: item.revocation };
}
