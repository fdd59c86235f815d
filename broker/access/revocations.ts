/** What no longer counts though its own time is not over: sessions, users' older tokens, keys. In memory, and bounded. */
import { ACCESS_TOKEN } from "#contracts/auth";
import type { Revocation } from "#contracts/identity";
import type { Log } from "#shared/log";
import type { Metrics } from "#shared/telemetry";

/** Most that are kept. All sessions of a large platform do not end within the ten minutes that a token lives. */
const KEPT = 100_000;
/** How often those that are over are looked for (ms). */
const SWEEP_MS = 60_000;
/** Least time from one look to the next where there is no room (ms): 100,000 are looked through in some milliseconds. */
const SWEEP_APART_MS = 1_000;
/** How much longer than auth says each is kept (ms): clocks differ, and tokens are let a little longer for it. */
const MARGIN_MS = 60_000;

/**
 * `unsure`: nothing is known against it, and not all is known. Auth has to be asked: at start, until its list has been
 * read, and while there were more than are kept.
 */
export type Standing = "stands" | "revoked" | "unsure";

/** What of an access token is looked at. */
export interface TokenClaims {
  readonly sid: string;
  readonly sub: string;
  /** The user's access_version when it was signed. */
  readonly av: number;
}

export interface Revocations extends Disposable {
  readonly size: number;
  /** Idempotent, in any order. */
  take(revocations: readonly Revocation[]): void;
  /** All that auth had before has been taken. */
  whole(): void;
  ofToken(claims: TokenClaims): Standing;
  ofKey(keyId: string): Standing;
}

export interface RevocationsOptions {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Told of each, for what is remembered of its subject. */
  readonly onRevoked: (revocation: Revocation) => void;
  /** Default 100,000. */
  readonly size?: number;
  /** Wall clock (ms). */
  readonly now?: () => number;
}

interface Kept {
  readonly endsAt: number;
  /** Of a user: tokens below it count no longer. */
  readonly accessVersion: number;
}

export function makeRevocations(options: RevocationsOptions): Revocations {
  const { log, metrics, onRevoked, size = KEPT, now = Date.now } = options;
  const kept = new Map<string, Kept>();
  /** Ids that were heard within the last one to two sweeps: auth's list tells them several times. */
  let recent = new Set<string>();
  let before = new Set<string>();
  let isWhole = false;
  let sweptAt = Number.NEGATIVE_INFINITY;
  /** Until when something that was not kept may matter. */
  let unsureUntil = 0;
  metrics.gauge("broker_revocations", "Revocations that are kept until they no longer matter.", [], (gauge) =>
    gauge.set(kept.size),
  );
  metrics.gauge(
    "broker_revocations_unsure",
    "1 while auth is asked about each token: not all revocations are known.",
    [],
    (gauge) => gauge.set(isUnsure() ? 1 : 0),
  );
  const taken = metrics.counter("broker_revocations_total", "Revocations heard of, each once.", ["kind"]);
  const sweeping = setInterval(() => {
    sweep();
    forgetIds();
  }, SWEEP_MS);

  const nameOf = (kind: Revocation["kind"], subject: string): string => `${kind}:${subject}`;

  function isUnsure(): boolean {
    return !isWhole || now() < unsureUntil;
  }

  function sweep(): void {
    const at = now();
    // Also where the clock was set back.
    if (Math.abs(at - sweptAt) < SWEEP_APART_MS) return;
    sweptAt = at;
    for (const [name, { endsAt }] of kept) if (endsAt <= at) kept.delete(name);
  }

  function forgetIds(): void {
    before = recent;
    recent = new Set();
  }

  /** Whether it is heard for the first time, as far as that is remembered. */
  function isNew(id: string): boolean {
    if (recent.has(id) || before.has(id)) return false;
    if (recent.size >= size) forgetIds();
    recent.add(id);
    return true;
  }

  function take(revocation: Revocation): void {
    const { id, kind, subject, access_version = 0, expires_at } = revocation;
    const name = nameOf(kind, subject);
    if (!isNew(id)) return;
    const known = kept.get(name);
    taken.inc({ kind });
    onRevoked(revocation);
    const endsAt = timeOf(expires_at) + MARGIN_MS;
    if (endsAt <= now()) return;
    if (known === undefined && kept.size >= size) sweep();
    if (known === undefined && kept.size >= size) {
      if (!isUnsure())
        log.error("more revocations than are kept: auth is asked about each token meanwhile", { kept: size });
      unsureUntil = Math.max(unsureUntil, endsAt);
      return;
    }
    kept.set(name, {
      endsAt: Math.max(endsAt, known?.endsAt ?? 0),
      accessVersion: Math.max(access_version, known?.accessVersion ?? 0),
    });
  }

  return {
    get size() {
      return kept.size;
    },
    take(revocations) {
      for (const revocation of revocations) take(revocation);
    },
    whole() {
      isWhole = true;
    },
    ofToken({ sid, sub, av }) {
      if (kept.has(nameOf("session", sid))) return "revoked";
      if (av < (kept.get(nameOf("user", sub))?.accessVersion ?? 0)) return "revoked";
      return isUnsure() ? "unsure" : "stands";
    },
    ofKey(keyId) {
      if (kept.has(nameOf("api_key", keyId))) return "revoked";
      return isUnsure() ? "unsure" : "stands";
    },
    [Symbol.dispose]: () => clearInterval(sweeping),
  };
}

/** Milliseconds since 1970. Of a time that is none nobody knows the end: as long as the longest token. */
function timeOf(text: string): number {
  const at = Date.parse(text);
  return Number.isNaN(at) ? Date.now() + ACCESS_TOKEN.lifetimeS * 1_000 : at;
}
