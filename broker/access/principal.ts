/** Who is asking, as the broker has found out. */
import { SCOPES, type Scope } from "#contracts/scopes";
import type { Degraded } from "#contracts/broker";
import type { Session } from "../sessions/sessions.ts";

interface Known {
  readonly scopes: ReadonlySet<Scope>;
}

export type Principal =
  | { readonly kind: "anonymous"; readonly address: string }
  | (Known & { readonly kind: "user"; readonly session: Session })
  | (Known & {
      readonly kind: "key";
      readonly keyId: string;
      /** Of a service's key. */
      readonly service?: string;
      /** Whose key it is was told from memory, since auth is away. */
      readonly degraded?: Degraded;
    })
  | (Known & { readonly kind: "operator" });

/** What OPERATOR_TOKEN is good for: the platform, and neither its users nor their keys. */
export const OPERATOR_SCOPES: ReadonlySet<Scope> = new Set(
  (Object.keys(SCOPES) as Scope[]).filter((scope) => !/^(users|keys):/.test(scope)),
);

/** For audit entries of the owners: `user:<id>`, `key:<id>`, `service:<name>`, `operator`, or the client's address. */
export function actorOf(principal: Principal): string {
  return principal.kind === "anonymous" ? principal.address : callerOf(principal);
}

/** Whose Idempotency-Key it is: all who are not known share theirs, since addresses change. */
export function callerOf(principal: Principal): string {
  switch (principal.kind) {
    case "anonymous":
      return "anonymous";
    case "operator":
      return "operator";
    case "user":
      return `user:${principal.session.sub}`;
    default:
      return principal.service === undefined ? `key:${principal.keyId}` : `service:${principal.service}`;
  }
}

const principals = new WeakMap<Request, Principal>();

export function remember(request: Request, principal: Principal): void {
  principals.set(request, principal);
}

/** Whether access has let the request in. */
export function isKnown(request: Request): boolean {
  return principals.has(request);
}

/** @throws Error (a bug) where no rule was asked: nothing is done for a request that nobody has looked at. */
export function principalOf(request: Request): Principal {
  const principal = principals.get(request);
  if (principal === undefined) throw new Error("principalOf: the request has not been through access");
  return principal;
}
