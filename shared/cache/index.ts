/** What was read lately, for whoever reads it again soon. Never the truth: it may forget everything at any moment. */
export { type Cache, type CacheOptions, type Codec, makeCache } from "./cache.ts";
