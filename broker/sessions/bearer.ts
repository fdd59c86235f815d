/** Bearer tokens as they come and as they are asked for (RFC 6750). */
import type { Result } from "#shared/errors";

/** The token of `Authorization: Bearer …` (§2.1); undefined where there is none in that form. No other place is looked at. */
export function bearerOf(request: Request): string | undefined {
  return /^bearer +([\w.~+/-]+=*) *$/i.exec(request.headers.get("authorization") ?? "")?.[1];
}

/** Whether the request names a bearer token, also in a form that can be none: whoever does so is not anonymous. */
export function namesBearer(request: Request): boolean {
  return /^bearer( |$)/i.test(request.headers.get("authorization") ?? "");
}

/**
 * The value, or the failure thrown, with `WWW-Authenticate` where it is a 401: who sent nothing is told what is needed,
 * and not what was wrong (§3.1).
 */
export function orChallenge<T>(result: Result<T>, request: Request, set: { headers: object }): T {
  if (result.ok) return result.value;
  if (result.error.code === "unauthenticated") {
    const fault = request.headers.has("authorization") ? ', error="invalid_token"' : "";
    Object.assign(set.headers, { "www-authenticate": `Bearer realm="platform"${fault}` });
  }
  throw result.error;
}
