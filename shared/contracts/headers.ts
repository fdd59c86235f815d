/** Names of the HTTP headers that are ours. */

/** Follows a request from part to part. */
export const REQUEST_ID_HEADER = "x-request-id";
/** Time left for a request (ms), from caller to callee. */
export const TIMEOUT_HEADER = "x-request-timeout-ms";
/** What was done in another way than usual, `part=how`, comma-separated. */
export const DEGRADED_HEADER = "x-degraded";
