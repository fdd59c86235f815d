/** What a request for an action says beside its body, and what its answer says beside its own. */
import { IDEMPOTENCY_KEY_HEADER } from "#contracts/headers";
import { contextOf } from "#shared/http";
import { orThrow } from "#shared/errors";
import type { Access } from "./access/access.ts";
import { callerOf, principalOf } from "./access/principal.ts";
import type { ActionName } from "./access/rules.ts";
import type { Accepted, Call } from "./handle.ts";
import { type Answered, keyOf } from "./idempotency.ts";
import { given, markDegraded, type Settable } from "./marks.ts";

/** Time that one request may take in all (ms): what is behind gives up earlier, so that there is time to queue. */
export const HANDLE_MS = 15_000;

/** What is asked, by whom, and what of it he may; with a key, whose Idempotency-Key it is. */
export function callOf(request: Request, route: string, access: Pick<Access, "mayAct">): Call {
  const given = contextOf(request);
  const context = { ...given, deadline: given.deadline.within(HANDLE_MS) };
  const principal = principalOf(request);
  const call = {
    context,
    may: (action: ActionName) => access.mayAct(request, action),
  };
  const key = orThrow(keyOf(request.headers.get(IDEMPOTENCY_KEY_HEADER)));
  return key === undefined ? call : { ...call, scope: { caller: callerOf(principal), route, key } };
}

/** What was accepted, with its receipt and what was degraded in the headers; the failure thrown. */
export function accepted(answered: Answered<Accepted>, set: Settable): Accepted {
  const value = given(answered, set);
  markDegraded(value.degraded ?? {}, set);
  if (value.receiptId !== undefined) set.headers["location"] = `/v1/receipts/${value.receiptId}`;
  return value;
}
