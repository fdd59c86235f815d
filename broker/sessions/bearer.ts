/** Bearer tokens as they come and as they are asked for (RFC 6750). */
import type { Failure, Result } from "#shared/errors";
import { InsufficientScope } from "../access/rules.ts";

/** Whether the request names a bearer token, also in a form that can be none: whoever does so is not anonymous. */
export function namesBearer(request: Request): boolean {
  return /^bearer( |$)/i.test(request.headers.get("authorization") ?? "");
}

/**
 * Says in `WWW-Authenticate` what is needed, where that is a credential or a scope: who sent nothing is not told what was
 * wrong (§3.1).
 */
export function challenge(failure: Failure, request: Request, set: { headers: object }): void {
  if (failure.code !== "unauthenticated" && !(failure instanceof InsufficientScope)) return;
  const fault =
    failure instanceof InsufficientScope
      ? `, error="insufficient_scope", scope="${failure.scope}"`
      : request.headers.has("authorization")
        ? ', error="invalid_token"'
        : "";
  Object.assign(set.headers, { "www-authenticate": `Bearer realm="platform"${fault}` });
}

/** The value, or the failure thrown, with its challenge. */
export function orChallenge<T>(result: Result<T>, request: Request, set: { headers: object }): T {
  if (result.ok) return result.value;
  challenge(result.error, request, set);
  throw result.error;
}
