/** What was last known of the users of recent sessions, for the time that auth is away. */
import type { MeView } from "#contracts/auth";

export interface CachedUser {
  readonly user: MeView;
  /** Whole seconds since auth said so. */
  readonly ageS: number;
}

interface Entry {
  /** Undefined once auth has refused the session. */
  readonly user: MeView | undefined;
  /** When auth was asked (ms of the same clock as `now`). */
  readonly askedAt: number;
}

export interface SessionCacheOptions {
  /** Longest that an answer is given again (s); 0: nothing is kept. */
  readonly maxAgeS: number;
  /** Most sessions; then the one that was heard of longest ago goes (default 10,000). */
  readonly size?: number;
  /** Milliseconds of a clock that never steps (default `performance.now`). */
  readonly now?: () => number;
}

export class SessionCache {
  readonly #maxAgeMs: number;
  readonly #size: number;
  readonly #now: () => number;
  /** By session, the one that was heard of longest ago first. */
  readonly #entries = new Map<string, Entry>();

  constructor({ maxAgeS, size = 10_000, now = () => performance.now() }: SessionCacheOptions) {
    this.#maxAgeMs = maxAgeS * 1_000;
    this.#size = size;
    this.#now = now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The time to give to `keep` and `drop`: taken before auth is asked. */
  now(): number {
    return this.#now();
  }

  keep(sessionId: string, user: MeView, askedAt: number): void {
    this.#put(sessionId, { user, askedAt });
  }

  /** Auth has refused the session. An answer that was asked for earlier and comes later does not bring it back. */
  drop(sessionId: string): void {
    this.#put(sessionId, { user: undefined, askedAt: this.#now() });
  }

  /** All sessions of the user, as by `drop`. */
  dropUser(id: number): void {
    for (const [sessionId, { user }] of this.#entries) if (user?.id === id) this.drop(sessionId);
  }

  find(sessionId: string): CachedUser | undefined {
    const entry = this.#entries.get(sessionId);
    if (entry?.user === undefined) return undefined;
    const ageMs = this.#now() - entry.askedAt;
    return ageMs > this.#maxAgeMs ? undefined : { user: entry.user, ageS: Math.floor(ageMs / 1_000) };
  }

  #put(sessionId: string, entry: Entry): void {
    if (this.#maxAgeMs === 0) return;
    const before = this.#entries.get(sessionId);
    if (before !== undefined && before.askedAt > entry.askedAt) return;
    this.#entries.delete(sessionId);
    this.#entries.set(sessionId, entry);
    for (const [oldest, { askedAt }] of this.#entries) {
      if (this.#entries.size <= this.#size && this.#now() - askedAt <= this.#maxAgeMs) break;
      this.#entries.delete(oldest);
    }
  }
}
