/**
 * A sliding window, counted in parts: a fiftieth of it each. What was counted stays until its whole part has left the
 * window, so that no window of that length ever holds more than the quota; who uses all of it gets 98 % of it over time.
 * The script does the same in Redis, by the clock of the server: replicas need not agree on the time.
 */
import { script } from "#shared/redis";
import type { Limit } from "./rules.ts";

const PARTS = 50;

/** What was counted under one key: for each part that is not empty its number and how many. */
export type Window = [part: number, count: number][];

export interface State {
  /** Counted, this one included where it was let in. */
  readonly used: number;
  /** Until the oldest that is counted is counted no more (ms); 0 where there is none. */
  readonly freeMs: number;
}

const partMsOf = ({ windowMs }: Limit): number => windowMs / PARTS;

/** How it stands at `now` (ms of any clock); forgets what has left. */
export function look(window: Window, limit: Limit, now: number): State {
  const partMs = partMsOf(limit);
  const oldest = Math.floor(now / partMs) - PARTS;
  while (window[0] !== undefined && window[0][0] < oldest) window.shift();
  const [first] = window;
  return {
    used: window.reduce((sum, [, count]) => sum + count, 0),
    freeMs: first === undefined ? 0 : (first[0] + PARTS + 1) * partMs - now,
  };
}

/** Counts one more. */
export function count(window: Window, limit: Limit, now: number): void {
  const part = Math.floor(now / partMsOf(limit));
  const last = window.at(-1);
  if (last !== undefined && last[0] >= part) last[1] += 1;
  else window.push([part, 1]);
}

/**
 * KEYS: what is counted. ARGV: quota and length of a part (ms) for each. All are counted, or none where one of them is
 * full. Answers 1 or 0, then for each: used, ms until the oldest leaves.
 */
export const COUNT = script(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local admitted = 1
local reply = {0}
for i, key in ipairs(KEYS) do
  local quota, part_ms = tonumber(ARGV[i * 2 - 1]), tonumber(ARGV[i * 2])
  local oldest = math.floor(now / part_ms) - ${PARTS}
  local used, first, gone = 0, nil, {}
  local parts = redis.call('HGETALL', key)
  for j = 1, #parts, 2 do
    local part = tonumber(parts[j])
    if part < oldest then
      gone[#gone + 1] = parts[j]
    else
      used = used + tonumber(parts[j + 1])
      if first == nil or part < first then first = part end
    end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  if used >= quota then admitted = 0 end
  reply[i * 2] = used
  reply[i * 2 + 1] = first == nil and 0 or math.ceil((first + ${PARTS + 1}) * part_ms - now)
end
if admitted == 1 then
  for i, key in ipairs(KEYS) do
    local part_ms = tonumber(ARGV[i * 2])
    redis.call('HINCRBY', key, string.format('%d', math.floor(now / part_ms)), 1)
    redis.call('PEXPIRE', key, math.ceil(part_ms * ${PARTS + 1}))
    reply[i * 2] = reply[i * 2] + 1
    if reply[i * 2 + 1] == 0 then reply[i * 2 + 1] = math.ceil(part_ms * ${PARTS + 1}) end
  end
end
reply[1] = admitted
return reply`);

/** ARGV of COUNT for one key. */
export const countArguments = (limit: Limit): [quota: number, partMs: number] => [limit.quota, partMsOf(limit)];
