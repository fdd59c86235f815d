/**
 * API keys: who may make, see and end them, and what one is worth. Knows no HTTP and no SQL.
 *
 * Whoever makes a key gives it only what he has himself. A user's key makes, shows and ends no keys of his; one with
 * `keys:manage` manages those of services.
 */
import type { Scope } from "#contracts/scopes";
import type { ApiKeyFilter, ApiKeyPage, ApiKeyRequest, ApiKeyView, KeyHolder, NewApiKey } from "#contracts/auth";
import { fail, ok, type Result } from "#shared/errors";
import type { Sql, WorkContext } from "#shared/postgres";
import type { CallContext } from "#shared/telemetry";
import { timeOf } from "#shared/validation";
import type { Outbox } from "../outbox/outbox.ts";
import type { Principal } from "../principal.ts";
import type { Ending } from "../sessions/end.ts";
import { keyHashOf, type MadeKey, makeKey } from "./key.ts";
import type { LastUsed } from "./last-used.ts";
import type { ApiKeyStore, Owner, StoredApiKey } from "./store.ts";

/** Keys of one user or service that count; while some of them are rotated, twice as many. */
const MOST = 50;
const OVERLAP_S = 86_400;

export interface ApiKeysOptions {
  readonly store: ApiKeyStore;
  readonly outbox: Outbox;
  readonly ending: Pick<Ending, "revoke">;
  readonly lastUsed: Pick<LastUsed, "note">;
}

export interface ApiKeys {
  /** @returns failure `forbidden`, `invalid`, `conflict` (50 already). */
  create(request: ApiKeyRequest, principal: Principal, context: CallContext): Promise<Result<NewApiKey>>;
  /** @param page `after` is the `next_cursor` of the page before. @returns failure `forbidden`, `invalid`. */
  list(
    filter: ApiKeyFilter,
    page: { readonly limit: number; readonly cursor: string | undefined },
    principal: Principal,
    context: WorkContext,
  ): Promise<Result<ApiKeyPage>>;
  /** Ends a key: at once here, and with the brokers once they have heard. Once is as often as twice. @returns failure `not_found`. */
  revoke(id: string, principal: Principal, context: CallContext): Promise<Result<ApiKeyView>>;
  /**
   * A new key of the same name, owner and scopes, which lives as long as the old one was made for; the old one goes on
   * for `overlapS` (default one day). @returns failure `not_found`, `forbidden`, `conflict` (it is over, or rotated already).
   */
  rotate(
    id: string,
    overlapS: number | undefined,
    principal: Principal,
    context: CallContext,
  ): Promise<Result<NewApiKey>>;
  /** Whose key it is; undefined where it is none that counts. */
  holderOf(key: string, context: WorkContext): Promise<Result<KeyHolder | undefined>>;
}

export function makeApiKeys({ store, outbox, ending, lastUsed }: ApiKeysOptions): ApiKeys {
  /** In the transaction of the change. */
  const audit = (
    action: string,
    key: Pick<StoredApiKey, "id" | "name" | "owner" | "scopes">,
    by: string,
    more: object,
    context: CallContext,
  ) => {
    const { id, name, owner, scopes } = key;
    const address = context.client === undefined ? {} : { address: context.client.address };
    const data = { action, by, key_id: id, name, ...ownerView(owner), scopes, ...address, ...more };
    return (sql: Sql): Promise<void> => outbox.put(sql, [{ kind: "audit", data }], context);
  };

  /** The key, where he may see that there is one. */
  async function find(id: string, principal: Principal, context: WorkContext): Promise<Result<StoredApiKey>> {
    const found = await store.find(id, context);
    if (!found.ok) return found;
    const isVisible = found.value !== undefined && (isOwn(found.value.owner, principal) || mayManage(principal));
    return isVisible && found.value !== undefined ? ok(found.value) : fail("not_found", "no such API key");
  }

  return {
    async create({ name, service, scopes, expires_at }, principal, context) {
      const owner = ownerFor(service, principal);
      if (!owner.ok) return owner;
      const lacking = scopes.find((scope) => !principal.scopes.includes(scope));
      if (lacking !== undefined) return fail("forbidden", `you do not have the scope ${lacking} yourself`);
      const expiresAt = expires_at === undefined ? ok(null) : futureOf(expires_at);
      if (!expiresAt.ok) return expiresAt;
      const made = makeKey();
      const row = {
        ...rowOf(made),
        owner: owner.value,
        name,
        scopes,
        createdBy: principal.by,
        expiresAt: expiresAt.value,
        ...sessionOf(principal),
      };
      const tell = audit("api_key.created", row, principal.by, until(expiresAt.value), context);
      const added = await store.add(row, MOST, tell, context);
      if (!added.ok) return added;
      outbox.ring();
      return ok({ ...viewOf(added.value), key: made.key });
    },

    async list(filter, { limit, cursor }, principal, context) {
      const of = listedOwner(filter, principal);
      if (!of.ok) return of;
      const after = cursor === undefined ? ok(undefined) : readCursor(cursor);
      if (!after.ok) return after;
      const found = await store.list(of.value, { limit: limit + 1, after: after.value }, context);
      if (!found.ok) return found;
      const items = found.value.slice(0, limit);
      const last = items.at(-1);
      const more = found.value.length > limit && last !== undefined;
      return ok({ items: items.map(viewOf), ...(more ? { next_cursor: writeCursor(last.id) } : {}) });
    },

    async revoke(id, principal, context) {
      const found = await find(id, principal, context);
      if (!found.ok) return found;
      const tell = audit("api_key.revoked", found.value, principal.by, {}, context);
      const revoked = await store.revoke(
        id,
        async (sql) => {
          await ending.revoke(sql, { kind: "api_key", subject: id });
          await tell(sql);
        },
        context,
      );
      if (!revoked.ok) return revoked;
      outbox.ring();
      return revoked.value === undefined ? fail("not_found", "no such API key") : ok(viewOf(revoked.value));
    },

    async rotate(id, overlapS = OVERLAP_S, principal, context) {
      const found = await find(id, principal, context);
      if (!found.ok) return found;
      const { name, owner, scopes, createdAt, expiresAt } = found.value;
      const allowed = mayRotate(found.value, principal);
      if (!allowed.ok) return allowed;
      const made = makeKey();
      const lifeMs = expiresAt === null ? undefined : expiresAt.getTime() - createdAt.getTime();
      const row = {
        ...rowOf(made),
        owner,
        name,
        scopes,
        createdBy: principal.by,
        expiresAt: lifeMs === undefined ? null : new Date(Date.now() + lifeMs),
        ...sessionOf(principal),
      };
      const tell = audit("api_key.rotated", row, principal.by, { from_key_id: id, overlap_s: overlapS }, context);
      const rotated = await store.rotate(
        id,
        row,
        { overlapMs: overlapS * 1_000, most: 2 * MOST },
        async (sql) => {
          if (overlapS === 0) await ending.revoke(sql, { kind: "api_key", subject: id });
          await tell(sql);
        },
        context,
      );
      if (!rotated.ok) return rotated;
      outbox.ring();
      return ok({ ...viewOf(rotated.value), key: made.key });
    },

    async holderOf(key, context) {
      const hash = keyHashOf(key);
      if (hash === undefined) return ok(undefined);
      const held = await store.findHeld(hash, context);
      if (!held.ok) return held;
      if (held.value === undefined) return ok(undefined);
      const { key: found, ownersScopes } = held.value;
      lastUsed.note(found.id);
      const scopes = found.scopes.filter((scope) => ownersScopes?.includes(scope) ?? true);
      return ok({ key_id: found.id, ...ownerView(found.owner), scopes, ...until(found.expiresAt) });
    },
  };
}

const mayManage = ({ scopes }: Principal): boolean => scopes.includes("keys:manage");

/** His own, by a session of his: a key that got into wrong hands is not to see, make or end others. */
function isOwn(owner: Owner, { userId, session }: Principal): boolean {
  return "userId" in owner && owner.userId === userId && session !== undefined;
}

/** Whose key a new one is. */
function ownerFor(service: string | undefined, principal: Principal): Result<Owner> {
  if (service !== undefined) {
    return mayManage(principal) ? ok({ service }) : fail("forbidden", "keys of services need the scope keys:manage");
  }
  const { userId, session } = principal;
  return userId === undefined || session === undefined
    ? fail("forbidden", "a key of your own is made in a session: log in")
    : ok({ userId });
}

function listedOwner({ user_id, service }: ApiKeyFilter, principal: Principal): Result<Owner | undefined> {
  if (user_id !== undefined && service !== undefined) return fail("invalid", "user_id and service exclude each other");
  const { userId, session } = principal;
  const owner = user_id ?? (service === undefined ? userId : undefined);
  if (owner !== undefined && isOwn({ userId: owner }, principal)) return ok({ userId: owner });
  if (!mayManage(principal) && !principal.scopes.includes("users:read")) {
    return fail(
      "forbidden",
      session === undefined ? "log in to see your keys" : "others' keys need the scope users:read",
    );
  }
  if (service === "*") return ok(undefined);
  if (service !== undefined) return ok({ service });
  return owner === undefined ? fail("invalid", "user_id or service is needed") : ok({ userId: owner });
}

/** Who rotates a key gets the new one: a user's is for himself, a service's for those who may all that it may. */
function mayRotate({ owner, scopes }: StoredApiKey, principal: Principal): Result<void> {
  if (isOwn(owner, principal)) return ok();
  if ("userId" in owner) return fail("forbidden", "only its user can rotate this key");
  const lacking = scopes.find((scope: Scope) => !principal.scopes.includes(scope));
  return lacking === undefined ? ok() : fail("forbidden", `you do not have the scope ${lacking} yourself`);
}

function futureOf(text: string): Result<Date> {
  const time = timeOf("expires_at", text);
  return time.ok && time.value.getTime() <= Date.now() ? fail("invalid", "expires_at must be in the future") : time;
}

function rowOf({ id, prefix, hash }: MadeKey) {
  return { id, prefix, hash };
}

function sessionOf({ session }: Principal): { sessionId?: string } {
  return session === undefined ? {} : { sessionId: session.id };
}

function ownerView(owner: Owner): { user_id: number } | { service: string } {
  return "userId" in owner ? { user_id: owner.userId } : { service: owner.service };
}

function until(expiresAt: Date | null): { expires_at?: string } {
  return expiresAt === null ? {} : { expires_at: expiresAt.toISOString() };
}

function viewOf(key: StoredApiKey): ApiKeyView {
  const { id, name, prefix, owner, scopes, createdAt, expiresAt, lastUsedAt, revokedAt, rotatedTo } = key;
  return {
    id,
    name,
    prefix,
    ...ownerView(owner),
    scopes: [...scopes],
    created_at: createdAt.toISOString(),
    ...until(expiresAt),
    ...(lastUsedAt === null ? {} : { last_used_at: lastUsedAt.toISOString() }),
    ...(revokedAt === null ? {} : { revoked_at: revokedAt.toISOString() }),
    ...(rotatedTo === null ? {} : { rotated_to: rotatedTo }),
  };
}

/** Opaque: the last id of a page. */
function writeCursor(id: string): string {
  return Buffer.from(id.replaceAll("-", ""), "hex").toString("base64url");
}

function readCursor(cursor: string): Result<string> {
  const hex = Buffer.from(cursor, "base64url").toString("hex");
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  return hex.length === 32 && writeCursor(id) === cursor ? ok(id) : fail("invalid", "cursor is none of this list");
}
