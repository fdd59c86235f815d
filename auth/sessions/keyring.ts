/**
 * The keys that access tokens are signed with, through their lives: published, signing, retired, forgotten. A new one is
 * published five minutes before it signs, so that all who verify know it by then; a retired one verifies for another
 * hour. So no token is refused for a rotation. Knows no SQL.
 */
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
import { ACCESS_TOKEN } from "#contracts/auth";
import { fail, ok, type Result } from "#shared/errors";
import type { WorkContext } from "#shared/postgres";
import type { Sealer } from "../keys.ts";
import type { AuditData, Outbox } from "../outbox/outbox.ts";
import type { AndTell, KeyStore, NewKey, StoredKey } from "./key-store.ts";

/** Others read the key set every minute, and keep it as long: five times that. */
const LEAD_MS = 300_000;
/** A retired key verifies for this long (ms): the life of a token, and time for clocks and caches. */
export const RETIRED_MS = 3_600_000;

export interface Keyring {
  /** Those that count, the last to sign first; makes the first one, and the next one where the newest is too old. */
  load(context: WorkContext): Promise<Result<StoredKey[]>>;
  /** The command: a new key signs in five minutes. @returns its kid. */
  rotate(by: string, context: WorkContext): Promise<Result<string>>;
  /**
   * A key signs nothing from now on, and verifies for an hour more.
   * @param options.compromised it verifies nothing any more, which ends the access tokens that it signed: whoever has
   * a refresh token gets another one. @returns failure `not_found`.
   */
  retire(kid: string, by: string, options: { compromised: boolean }, context: WorkContext): Promise<Result<void>>;
}

export interface KeyringPorts {
  store: KeyStore;
  sealer: Sealer;
  outbox: Outbox;
  /** A key that signs for longer than this is followed by another (ms); undefined: never. */
  maxAgeMs: number | undefined;
}

export function makeKeyring({ store, sealer, outbox, maxAgeMs }: KeyringPorts): Keyring {
  const telling =
    (action: string, by: string, details: Omit<AuditData, "action" | "by">): AndTell =>
    (sql) =>
      outbox.put(sql, [{ kind: "signing_keys" }, { kind: "audit", data: { action, by, ...details } }]);

  async function add(by: string, context: WorkContext, unlessSince?: Date): Promise<Result<string>> {
    const key = await newKey(sealer);
    const added = await store.rotate(
      key,
      {
        leadMs: LEAD_MS,
        ...(unlessSince === undefined ? {} : { unlessSince }),
        andTell: telling("signing_key.added", by, { kid: key.kid, signs_in_s: LEAD_MS / 1_000 }),
      },
      context,
    );
    if (!added.ok) return added;
    if (added.value) outbox.ring();
    return ok(key.kid);
  }

  return {
    async load(context) {
      const find = () => store.find(new Date(Date.now() - RETIRED_MS), context);
      const stored = await find();
      if (!stored.ok) return stored;
      const newest = stored.value.find(({ retiredAt }) => retiredAt === null);
      if (newest === undefined) {
        const added = await store.addFirst(await newKey(sealer), context);
        return added.ok ? find() : added;
      }
      const oldest = maxAgeMs === undefined ? undefined : new Date(Date.now() - maxAgeMs);
      if (oldest === undefined || newest.activatesAt > oldest) return stored;
      // What there is goes on working where this fails: the next look tries again.
      const added = await add("auth", context, oldest);
      return added.ok ? find() : stored;
    },
    rotate: (by, context) => add(by, context),
    async retire(kid, by, { compromised }, context) {
      const andTell = telling(compromised ? "signing_key.forgotten" : "signing_key.retired", by, { kid });
      const next = await newKey(sealer);
      const retired = await store.retire(kid, { forget: compromised, next, andTell }, context);
      if (!retired.ok) return retired;
      if (!retired.value) return fail("not_found", `there is no such key that signs: ${kid}`);
      outbox.ring();
      return ok();
    },
  };
}

async function newKey(sealer: Sealer): Promise<NewKey> {
  const pair = await generateKeyPair(ACCESS_TOKEN.algorithm, { crv: "Ed25519", extractable: true });
  const jwk = await exportJWK(pair.publicKey);
  // The thumbprint (RFC 7638) names the key by what it is.
  const kid = await calculateJwkThumbprint(jwk);
  const publicJwk = { ...jwk, kid, use: "sig", alg: ACCESS_TOKEN.algorithm };
  return { kid, publicJwk, privateJwk: sealer.seal(JSON.stringify(await exportJWK(pair.privateKey)), kid) };
}
