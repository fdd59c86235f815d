/** What a request for an action says beside its body, and what its answer says beside its own. */
import { IDEMPOTENCY_KEY_HEADER } from "#contracts/headers";
import { contextOf } from "#shared/http";
import type { Result } from "#shared/errors";
import type { Accepted, Call } from "./handle.ts";
import { type Answered, keyOf } from "./idempotency.ts";
import { given, markDegraded, type Settable } from "./marks.ts";
import { bearerOf, namesBearer, orChallenge } from "./sessions/bearer.ts";
import type { Sessions } from "./sessions/sessions.ts";

/** Time that one request may take in all (ms): what is behind gives up earlier, so that there is time to queue. */
const HANDLE_MS = 15_000;

/**
 * What is asked, and whose Idempotency-Key it is. With a key a token has to be valid: taken for nobody's, the same
 * request would be another one as soon as its token has expired.
 */
export async function callOf(
  request: Request,
  route: string,
  sessions: Pick<Sessions, "verify">,
  set: Settable,
): Promise<Call> {
  const given = contextOf(request);
  const context = { ...given, deadline: given.deadline.within(HANDLE_MS) };
  const key = orThrow(keyOf(request.headers.get(IDEMPOTENCY_KEY_HEADER)));
  if (key === undefined) return { context };
  const caller = namesBearer(request)
    ? `user:${orChallenge(await sessions.verify(bearerOf(request), context.deadline), request, set).sub}`
    : "anonymous";
  return { context, scope: { caller, route, key } };
}

/** What was accepted, with its receipt and what was degraded in the headers; the failure thrown. */
export function accepted(answered: Answered<Accepted>, set: Settable): Accepted {
  const value = given(answered, set);
  markDegraded(value.degraded ?? {}, set);
  if (value.receiptId !== undefined) set.headers["location"] = `/v1/receipts/${value.receiptId}`;
  return value;
}

/** For the edge, where a failure is thrown. */
export function orThrow<T>(result: Result<T>): T {
  if (!result.ok) throw result.error;
  return result.value;
}
