/** One pool of postgres.js, with the limits of ours. Used up and replaced as a whole: see database.ts. */
import { connect, type Socket } from "node:net";
import postgres from "postgres";
import type { Secret } from "#shared/config";
import { sleep } from "#shared/resilience";
import { liveTls } from "#shared/tls";
import type { Target } from "./failures.ts";

/** Longest time to connect, or to answer the probe (ms). */
const CONNECT_MS = 2_000;
/** Longest life of a connection (s), so that what was learned once (an address, a plan) does not live for ever. */
const MAX_LIFETIME_S = 300;
/** An unused connection is closed after this (s). */
const IDLE_S = 60;
/** Longest that a transaction may sit between two statements (ms): its locks would hold up others. */
const IDLE_IN_TRANSACTION_MS = 10_000;
/** Pause after a connection that was closed before the server said anything (ms). */
const UNANSWERED_PAUSE_MS = 250;

/**
 * A list of texts as PostgreSQL reads an array. The driver would ask each new connection for the types of arrays, and
 * nobody waits for that: where the connection is closed meanwhile, its rejection ends the process (3.4.9).
 */
function arrayOf(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`).join()}}`;
}

/** Parameters that may be lists: of text and of uuid. Results are no arrays; ask for JSON instead. Numbers: pg_type. */
const ARRAYS = Object.fromEntries(
  [1_009, 2_951].map((oid) => [oid, { to: oid, from: [], serialize: arrayOf, parse: (text: string) => text }]),
);

/**
 * By TLS where the URL has an `sslmode` other than `disable`. Then the server has to be the one it is taken for: its
 * chain and its name are verified (`verify-full`), also where the driver would have let it be (`require`).
 */
function sslOf(url: string): false | object {
  const { hostname, searchParams } = new URL(url);
  if ((searchParams.get("sslmode") ?? "disable") === "disable") return false;
  return liveTls({
    // The driver names no address to verify, and then `localhost` would be.
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
  });
}

export interface PoolOptions {
  url: Secret;
  name: string;
  maxConnections: number;
  statementTimeoutMs: number;
  /** For a connection that is kept however old and idle it is, to hear on it: what it hears, and that it was closed. */
  kept?: { readonly onNotify: (channel: string, payload: string) => void; readonly onClose: () => void };
}

export interface Pool {
  readonly sql: postgres.Sql;
  readonly target: Target;
  /** Sockets that are open. */
  readonly connections: number;
  /** Whether the server answers. @throws the driver's error, or one with the code `PROBE_TIMEOUT` after 2.5 s. */
  probe(): Promise<void>;
  /** Closes every connection; statements under way are given `graceMs`, then cut. Never throws. */
  close(graceMs: number): Promise<void>;
}

/** Opens nothing: connections are made when they are needed. */
export function makePool({ url, name, maxConnections, statementTimeoutMs, kept }: PoolOptions): Pool {
  const sockets = new Set<Socket>();
  let open = true;

  function forgetClosed(): boolean {
    let unanswered = false;
    for (const socket of sockets) {
      if (!socket.destroyed) continue;
      sockets.delete(socket);
      if (socket.bytesRead === 0) unanswered = true;
    }
    return unanswered;
  }

  /**
   * postgres.js 3.4.9 dials again at once, for ever, where a proxy accepts and closes (a container engine does, while
   * the server inside is not up): a pause keeps that from taking a whole core. The socket is given before it is
   * connected, since the driver never gets over a factory that throws.
   */
  async function dial({ path, host, port }: { path?: unknown; host: string[]; port: number[] }): Promise<Socket> {
    if (forgetClosed()) await sleep(UNANSWERED_PAUSE_MS);
    const [to = "localhost"] = host;
    const socket = typeof path === "string" ? connect({ path }) : connect({ host: to, port: port[0] ?? 5_432 });
    Object.assign(socket, { host: to, port: port[0] });
    if (!open) socket.destroy();
    sockets.add(socket);
    return socket;
  }

  // `socket` and `onnotify` are in postgres.js and not in its types; nor is it that a lifetime may be a function, asked
  // once a connection.
  const unlisted = {
    socket: dial,
    ...(kept === undefined
      ? { max_lifetime: () => MAX_LIFETIME_S * (0.8 + 0.2 * Math.random()), idle_timeout: IDLE_S }
      : { max_lifetime: null, idle_timeout: 0, onnotify: kept.onNotify, onclose: kept.onClose }),
  };
  const sql = postgres(url.reveal(), {
    ssl: sslOf(url.reveal()),
    max: maxConnections,
    connect_timeout: CONNECT_MS / 1_000,
    // Ours is the backoff: this one would keep a connection away for up to 20 s after the server is back.
    backoff: () => 0,
    onnotice: () => undefined,
    fetch_types: false,
    types: ARRAYS,
    connection: {
      application_name: name,
      TimeZone: "UTC",
      statement_timeout: statementTimeoutMs,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    },
    ...(unlisted as object),
  });
  async function end(graceMs: number): Promise<void> {
    await sql.end({ timeout: graceMs / 1_000 }).catch(() => undefined); // What cannot be closed is gone already.
    // The driver waits for the server to hang up, which one that waits for a lock does not; until then the work on
    // that connection would not end either.
    for (const socket of sockets) socket.destroy();
  }

  const { host, port, user, database } = sql.options;
  let closed: Promise<void> | undefined;

  return {
    sql,
    target: { host: host[0] ?? "", port: port[0] ?? 0, user, database },
    get connections() {
      forgetClosed();
      return sockets.size;
    },
    async probe() {
      const late = Promise.withResolvers<never>();
      const timer = setTimeout(
        () => late.reject(Object.assign(new Error("no answer to a probe"), { code: "PROBE_TIMEOUT" })),
        CONNECT_MS + 500,
      );
      try {
        await Promise.race([sql`select 1`, late.promise]);
      } finally {
        clearTimeout(timer);
      }
    },
    close(graceMs) {
      open = false;
      closed ??= end(graceMs);
      return closed;
    },
  };
}
