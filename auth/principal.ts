/** Who is asking at auth: an access token or an API key to whose it is, as he is now. Knows no SQL. */
import type { Scope } from "#contracts/scopes";
import { API_KEY_HEADER } from "#contracts/headers";
import type { KeyHolder } from "#contracts/auth";
import { Failure, fail, ok, type Result } from "#shared/errors";
import { bearerOf } from "#shared/http";
import type { WorkContext } from "#shared/postgres";
import { scopesOfUser } from "./users/user-view.ts";
import type { Tokens } from "./sessions/tokens.ts";
import type { SessionUser, Store } from "./store.ts";

export interface Principal {
  /** For audit entries: `user:<id>` or `service:<name>`. */
  readonly by: string;
  readonly scopes: readonly Scope[];
  /** None: a service, by its key. */
  readonly userId?: number;
  /** By an access token: the session, and the user as he is now. */
  readonly session?: SessionUser & { readonly id: string };
  /** By an API key: its id. */
  readonly keyId?: string;
}

/** As a request carries them; at most one is looked at, the token first. */
export interface Credential {
  readonly bearer?: string;
  readonly apiKey?: string;
}

export interface Principals {
  /**
   * @returns failure `unauthenticated` where there is no credential or it does not count (any more): the same for
   * whatever is wrong; `unavailable`, `deadline`.
   */
  of(credential: Credential, context: WorkContext): Promise<Result<Principal>>;
}

export interface PrincipalsPorts {
  store: Pick<Store, "findSessionUser">;
  tokens: Pick<Tokens, "verify">;
  /** Whose API key it is; undefined where it is none that counts. */
  holderOf?: (key: string, context: WorkContext) => Promise<Result<KeyHolder | undefined>>;
}

export function makePrincipals({ store, tokens, holderOf }: PrincipalsPorts): Principals {
  async function byToken(token: string, context: WorkContext): Promise<Result<Principal>> {
    const refused = fail("unauthenticated", "the access token is not valid");
    const claims = await tokens.verify(token);
    if (!claims.ok) return claims;
    if (claims.value === undefined) return refused;
    const { userId, sessionId, accessVersion } = claims.value;
    const found = await store.findSessionUser(userId, sessionId, context);
    if (!found.ok) return found;
    const { value } = found;
    // An older access version: what he may has changed since, and refreshing gives him a token that says so.
    if (value?.user.active !== 1 || accessVersion < value.user.accessVersion) return refused;
    return ok({
      by: `user:${userId}`,
      scopes: scopesOfUser(value.user),
      userId,
      session: { ...value, id: sessionId },
    });
  }

  async function byKey(key: string, context: WorkContext): Promise<Result<Principal>> {
    const held = holderOf === undefined ? ok(undefined) : await holderOf(key, context);
    if (!held.ok) return held;
    const holder = held.value;
    if (holder === undefined) return fail("unauthenticated", "the API key is not valid");
    return ok({
      by: holder.user_id === undefined ? `service:${holder.service ?? ""}` : `user:${holder.user_id}`,
      scopes: holder.scopes,
      keyId: holder.key_id,
      ...(holder.user_id === undefined ? {} : { userId: holder.user_id }),
    });
  }

  return {
    async of({ bearer, apiKey }, context) {
      if (bearer !== undefined) return byToken(bearer, context);
      if (apiKey !== undefined) return byKey(apiKey, context);
      return fail("unauthenticated", "a bearer token or an API key is needed");
    },
  };
}

/** The credential of a request: `Authorization: Bearer …` (RFC 6750 §2.1) or `X-Api-Key`. */
export function credentialOf(request: Request): Credential {
  const bearer = bearerOf(request);
  const apiKey = request.headers.get(API_KEY_HEADER) ?? undefined;
  return { ...(bearer === undefined ? {} : { bearer }), ...(apiKey === undefined ? {} : { apiKey }) };
}

export interface Need {
  /** A scope that he must have. */
  readonly scope?: Scope;
  /** Only by the access token of a session: what concerns himself is not for keys. */
  readonly session?: boolean;
}

/** What of a handler's context is read and written. */
export interface AskingCall {
  readonly request: Request;
  readonly set: { headers: Record<string, string | number> };
}

export type Admit = <N extends Need>(
  call: AskingCall,
  context: WorkContext,
  need?: N,
) => Promise<N extends { session: true } ? Principal & Required<Pick<Principal, "userId" | "session">> : Principal>;

/**
 * For routes: who is asking, if he may.
 * @throws Failure `unauthenticated` (with `WWW-Authenticate`, RFC 6750 §3), `forbidden`, `unavailable`, `deadline`.
 */
export function makeAdmit(principals: Principals): Admit {
  const admit = async (call: AskingCall, context: WorkContext, need: Need = {}): Promise<Principal> => {
    const credential = credentialOf(call.request);
    const principal = await principals.of(credential, context);
    if (!principal.ok) {
      if (principal.error.code === "unauthenticated") {
        // Who sent nothing is told how, not what was wrong (RFC 6750 §3.1).
        call.set.headers["www-authenticate"] =
          credential.bearer === undefined ? "Bearer" : 'Bearer error="invalid_token"';
      }
      throw principal.error;
    }
    demand(call, principal.value, need);
    return principal.value;
  };
  return admit as Admit;
}

/** The same of somebody who is known already. @throws Failure `forbidden`. */
export function demand({ set }: Pick<AskingCall, "set">, { scopes, session }: Principal, need: Need): void {
  if (need.session === true && session === undefined) throw new Failure("forbidden", "a session is needed: log in");
  if (need.scope !== undefined && !scopes.includes(need.scope)) {
    set.headers["www-authenticate"] = `Bearer error="insufficient_scope", scope="${need.scope}"`;
    throw new Failure("forbidden", `the scope ${need.scope} is needed`);
  }
}
