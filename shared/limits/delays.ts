/**
 * Tries that may fail, each slower than the one before: after so many failures the next is let in only after a delay,
 * which doubles with each. Nobody is locked out for good. A try counts as a failure from the moment it is let in, so that
 * a hundred at once are no way around; what it turns out to be is told afterwards.
 */
import { LRUCache } from "lru-cache";
import { type Redis, script } from "#shared/redis";

/** Keys that a process remembers at most: then the one that was tried longest ago begins anew. */
const MAX_KEYS = 50_000;

export interface Delay {
  /** Failures before the first delay. */
  readonly free: number;
  /** The first delay, and the longest (ms). */
  readonly firstMs: number;
  readonly maxMs: number;
  /** Without a failure for so long it begins anew (ms); longer than the longest delay. */
  readonly forgetMs: number;
}

/** Whose tries are counted, and how they are slowed down. */
export interface Tried {
  readonly key: string;
  readonly delay: Delay;
}

/** A try that was let in. */
export interface Attempt {
  /** It was none of those that count: takes it back, and forgets the failures of the keys in `forget` altogether. */
  takeBack(forget?: readonly string[]): Promise<void>;
}

export interface Delays {
  /** @returns the try, or how long until the next is let in (s), where one of them is waited for. */
  admit(tries: readonly Tried[]): Promise<{ readonly attempt: Attempt } | { readonly retryAfterS: number }>;
}

export interface DelaysOptions {
  /** What its keys in Redis begin with. */
  readonly name: string;
  readonly redis: Pick<Redis, "run"> | undefined;
  readonly maxKeys?: number;
  readonly now?: () => number;
}

/** KEYS: whose. ARGV: free, firstMs, maxMs, forgetMs for each. Answers 0 when let in, else the ms to wait. */
const TAKE = script(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = 0
for _, key in ipairs(KEYS) do
  wait = math.max(wait, tonumber(redis.call('HGET', key, 'until') or '0') - now)
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 4
  local over = redis.call('HINCRBY', key, 'failures', 1) - tonumber(ARGV[at + 1])
  local till = 0
  if over >= 0 then till = now + math.min(tonumber(ARGV[at + 3]), tonumber(ARGV[at + 2]) * 2 ^ math.min(over, 40)) end
  redis.call('HSET', key, 'until', string.format('%.0f', till))
  redis.call('PEXPIRE', key, ARGV[at + 4])
end
return 0`);

/** KEYS: whose. ARGV: 1 where all of them are forgotten, for each. */
const TAKE_BACK = script(`
for i, key in ipairs(KEYS) do
  local failures = tonumber(redis.call('HGET', key, 'failures') or '0')
  if ARGV[i] == '1' or failures <= 1 then
    redis.call('DEL', key)
  else
    redis.call('HSET', key, 'failures', failures - 1, 'until', '0')
  end
end
return 0`);

interface Failures {
  failures: number;
  until: number;
}

export function makeDelays({ name, redis, maxKeys = MAX_KEYS, now = () => performance.now() }: DelaysOptions): Delays {
  // A clock of one's own for forgetting too: what is remembered is remembered by `now`.
  const known = new LRUCache<string, Failures>({ max: maxKeys, ttlResolution: 0, perf: { now } });
  const keyOf = (key: string): string => `delay:${name}:${key}`;

  function takeHere(tries: readonly Tried[]): number {
    const at = now();
    const waitMs = Math.max(0, ...tries.map(({ key }) => (known.get(key)?.until ?? 0) - at));
    if (waitMs > 0) return waitMs;
    for (const { key, delay } of tries) {
      const failures = (known.get(key)?.failures ?? 0) + 1;
      const over = failures - delay.free;
      const until = over < 0 ? 0 : at + Math.min(delay.maxMs, delay.firstMs * 2 ** Math.min(over, 40));
      known.set(key, { failures, until }, { ttl: delay.forgetMs });
    }
    return 0;
  }

  function takeBackHere(tries: readonly Tried[], forget: readonly string[]): void {
    for (const { key } of tries) {
      const found = known.get(key);
      if (found === undefined) continue;
      if (forget.includes(key) || found.failures <= 1) known.delete(key);
      else Object.assign(found, { failures: found.failures - 1, until: 0 });
    }
  }

  return {
    async admit(tries) {
      const keys = tries.map(({ key }) => keyOf(key));
      const args = tries.flatMap(({ delay }) => [delay.free, delay.firstMs, delay.maxMs, delay.forgetMs]);
      const told = await redis?.run(TAKE, keys, args);
      const shared = told?.ok === true && typeof told.value === "number" ? told.value : undefined;
      const waitMs = shared ?? takeHere(tries);
      if (waitMs > 0) return { retryAfterS: waitMs / 1_000 };
      return {
        attempt: {
          async takeBack(forget = []) {
            if (shared === undefined) return takeBackHere(tries, forget);
            // Where Redis has gone meanwhile the try stays a failure: it is forgotten by itself.
            await redis?.run(
              TAKE_BACK,
              keys,
              tries.map(({ key }) => (forget.includes(key) ? 1 : 0)),
            );
          },
        },
      };
    },
  };
}
