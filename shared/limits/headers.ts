/** What a client is told of limits: draft-ietf-httpapi-ratelimit-headers-10. Names are structured-field strings (RFC 9651 §3.3.3). */
import type { Limit } from "./rules.ts";

type Named = Limit & { readonly name: string };

const quoted = (name: string): string => `"${name.replaceAll(/[^\x20-\x7e]|["\\]/g, "_")}"`;

/** `RateLimit-Policy`: the quotas that a request counted under, and their windows in whole seconds. */
export function policyHeader(limits: readonly Named[]): string {
  return limits.map(({ name, quota, windowMs }) => `${quoted(name)};q=${quota};w=${windowMs / 1_000}`).join(", ");
}

/** `RateLimit`: what is left under the policy that is nearest to its end, and when more will be (s). */
export function stateHeader(name: string, remaining: number, resetS: number): string {
  return `${quoted(name)};r=${remaining};t=${Math.ceil(resetS)}`;
}
