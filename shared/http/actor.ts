import { ACTOR_HEADER } from "#contracts/headers";
import { type Peers, socketAddressOf } from "./door.ts";

/** Text that a log can do with. */
const ACTOR = /^[\x20-\x7e]{1,200}$/;

/** What of a handler's context tells who is asking. */
export interface ActorCall {
  readonly request: Request;
  readonly server: Peers | null;
}

/** On whose behalf a request is: as the broker tells (`x-actor`), else the caller's address. For audit entries only. */
export function actorOf({ request, server }: ActorCall): string {
  const actor = request.headers.get(ACTOR_HEADER) ?? "";
  return ACTOR.test(actor) ? actor : (socketAddressOf(request, server) ?? "unknown");
}
