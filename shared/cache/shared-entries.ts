/**
 * Entries that replicas share in Redis. Each group has a generation, which a change moves on and which is in every entry:
 * so all entries of a group end at once, and what was loaded before a change and is written after it counts for nothing.
 */
import { type Redis, script } from "#shared/redis";
import type { Codec } from "./cache.ts";

/** How long a generation is remembered after a change (ms): longer than a load and an entry together. */
const GENERATION_MS = 600_000;

/** KEYS: entry, generation. Answers generation, and of an entry of that generation: bytes as base64, ms that are left. */
const FIND = script(`
local generation = redis.call('GET', KEYS[2]) or '0'
local entry = redis.call('GET', KEYS[1])
if not entry then return { generation } end
local of, value = string.match(entry, '^(%d+):(.*)$')
if of ~= generation then return { generation } end
return { generation, value, redis.call('PTTL', KEYS[1]) }`);

/** KEYS: generation. ARGV: ms. */
const FORGET = script(`
redis.call('INCR', KEYS[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[1])`);

export interface SharedOptions<T> {
  readonly name: string;
  readonly redis: Pick<Redis, "run" | "command">;
  readonly codec: Codec<T>;
}

export interface Found<T> {
  readonly value: T | undefined;
  readonly leftMs: number;
  /** As it was when it was looked. */
  readonly generation: string;
}

export interface SharedEntries<T> {
  /** Undefined where Redis is away. */
  find(group: string, item: string): Promise<Found<T> | undefined>;
  /** Best effort, while the caller goes on. */
  keep(group: string, item: string, value: T, at: { readonly generation: string; readonly leftMs: number }): void;
  forget(group: string): void;
}

export function makeSharedEntries<T>({ name, redis, codec }: SharedOptions<T>): SharedEntries<T> {
  const entryKey = (group: string, item: string): string => `cache:${name}:${group}/${item}`;
  const generationKey = (group: string): string => `cache:${name}:${group}`;
  return {
    async find(group, item) {
      const answer = await redis.run(FIND, [entryKey(group, item), generationKey(group)], []);
      if (!answer.ok || !Array.isArray(answer.value)) return undefined;
      const [generation, text, leftMs] = answer.value as [string, string?, number?];
      const value = text === undefined ? undefined : codec.read(Buffer.from(text, "base64"), `${group}/${item}`);
      return { value, leftMs: Math.max(0, leftMs ?? 0), generation };
    },
    keep(group, item, value, { generation, leftMs }) {
      const bytes = codec.write(value, `${group}/${item}`).toString("base64");
      void redis.command("SET", entryKey(group, item), `${generation}:${bytes}`, "PX", Math.ceil(leftMs));
    },
    forget(group) {
      void redis.run(FORGET, [generationKey(group)], [GENERATION_MS]);
    },
  };
}
