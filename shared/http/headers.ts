/** Headers that every answer carries. */

/** Content security policy of what is not a page: nothing may be loaded, nothing may frame it. */
export const CSP_API = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/** Source: OWASP Secure Headers Project. A page sets its own policy in place of the one here. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": CSP_API,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "cross-origin",
  "origin-agent-cluster": "?1",
  "referrer-policy": "no-referrer",
  "strict-transport-security": "max-age=31536000; includeSubDomains",
  "x-content-type-options": "nosniff",
  "x-dns-prefetch-control": "off",
  "x-frame-options": "DENY",
  "x-permitted-cross-domain-policies": "none",
  "x-xss-protection": "0",
  "cache-control": "no-store",
};

/** What a page of another origin may send and read beyond the safelisted headers. */
export const CORS_ALLOWED = [
  "Accept",
  "Authorization",
  "Content-Type",
  "Idempotency-Key",
  "Traceparent",
  "Tracestate",
  "X-Api-Key",
  "X-Request-Id",
  "X-Request-Timeout-Ms",
];
export const CORS_EXPOSED = [
  "Idempotent-Replayed",
  "Location",
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "WWW-Authenticate",
  "X-Degraded",
  "X-Request-Id",
  "X-Trace-Id",
];
