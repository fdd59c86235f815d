/** Whose session is it? An access token to its user, as he is now. Knows no HTTP and no SQL. */
import type { MeView } from "#contracts/auth";
import { fail, ok, type Result } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import type { Store } from "../store.ts";
import type { Tokens } from "./tokens.ts";
import { ownViewOf } from "../users/user-view.ts";

/**
 * @returns failure `unauthenticated`, the same for a token that is not one of ours or over, a session that has ended
 * and a user who is gone or not active; `unavailable`, `deadline`.
 */
export type Me = (token: string, deadline: Deadline) => Promise<Result<MeView>>;

export interface MePorts {
  store: Pick<Store, "findSessionUser">;
  tokens: Pick<Tokens, "verify">;
}

export function makeMe({ store, tokens }: MePorts): Me {
  return async (token, deadline) => {
    const refused = fail("unauthenticated", "the access token is not valid");
    const claims = await tokens.verify(token);
    if (!claims.ok) return claims;
    if (claims.value === undefined) return refused;
    const { userId, sessionId } = claims.value;
    const found = await store.findSessionUser(userId, sessionId, deadline);
    if (!found.ok) return found;
    if (found.value?.user.active !== 1) return refused;
    const { user, registration } = found.value;
    return ok({ ...ownViewOf(user, sessionId), ...(registration === undefined ? {} : { registration }) });
  };
}
