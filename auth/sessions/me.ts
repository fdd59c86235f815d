/** Who is asking, as he may see himself. Knows no HTTP and no SQL. */
import type { MeView } from "#contracts/auth";
import type { Principal } from "../principal.ts";
import { ownViewOf } from "../users/user-view.ts";

export function meOf({ id, user, registration }: NonNullable<Principal["session"]>): MeView {
  return { ...ownViewOf(user, id), ...(registration === undefined ? {} : { registration }) };
}
