/**
 * Redis for what several replicas share and may lose: counters of limits, entries of a cache. It is optional and never the
 * truth, so it fails fast: whoever asks has another way, and takes it.
 */
export { makeRedis, type Redis, type RedisOptions, type Script, script } from "./redis.ts";
export { redisUrlField } from "./fields.ts";
