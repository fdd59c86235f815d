/** Names of the HTTP headers that are ours. */

/** Follows a request from part to part. */
export const REQUEST_ID_HEADER = "x-request-id";
/** On every answer: the trace of the request, 32 hexadecimal digits (`GET /v1/traces/:id`). */
export const TRACE_ID_HEADER = "x-trace-id";
/** Time left for a request (ms), from caller to callee. */
export const TIMEOUT_HEADER = "x-request-timeout-ms";
/** What was done in another way than usual, `part=how`, comma-separated. */
export const DEGRADED_HEADER = "x-degraded";
/** Makes a POST happen once however often it is sent (draft-ietf-httpapi-idempotency-key-header-07). */
export const IDEMPOTENCY_KEY_HEADER = "idempotency-key";
/** `true` on an answer that was given before. */
export const REPLAYED_HEADER = "idempotent-replayed";
/** `true` on a 503 of a part that is well and has more to do than it can: its callers need not take it for sick. */
export const OVERLOADED_HEADER = "x-overloaded";
/** On whose behalf a service of ours calls another: for audit entries. Never taken from outside. */
export const ACTOR_HEADER = "x-actor";

/** A key of a service or of a person, as auth has made it (`pk_…`). */
export const API_KEY_HEADER = "x-api-key";

/** `cookie`: the refresh token comes and goes in a cookie, for pages (docs/sessions.md). No page of another origin can send it. */
export const SESSION_HEADER = "x-session";

/** What a service of ours proves with that it is one, to another. */
export const SERVICE_KEY_HEADER = "x-service-key";
/** `WWW-Authenticate` of an answer to a service whose key is missing, not known, or not good for what it asked. */
export const SERVICE_KEY_CHALLENGE = "ServiceKey";
/** Whom a service of ours asks for: address and user agent of the client, as the broker saw them. Believed of services only. */
export const CLIENT_ADDRESS_HEADER = "x-client-address";
export const CLIENT_AGENT_HEADER = "x-client-agent";
