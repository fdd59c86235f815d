/**
 * Passwords as they are stored. Up to 72 bytes of UTF-8: bcrypt, `$2a$`, `$2b$` or `$2y$`. Longer:
 * `{HMAC-SHA384}` and the bcrypt of base64(HMAC-SHA-384(key, password)), since bcrypt reads 72 bytes only.
 * The HMAC is keyed because a bare digest could be tried with digests from leaks elsewhere (OWASP, "pre-hashing").
 */
import type { Secret } from "#shared/config";
import { ok, type Result } from "#shared/errors";
import type { Log } from "#shared/log";
import type { WorkContext } from "#shared/postgres";
import type { Hashers } from "./hashers.ts";
import { makePrehash } from "./keys.ts";

/** What bcrypt reads of a password. The runtime would pre-hash more by itself, without a key: it never gets more. */
const BCRYPT_MAX_BYTES = 72;
const PREHASHED = "{HMAC-SHA384}";
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
/** A stored hash that costs more than this is not tried: one row could hold up a thread for hours. */
const MAX_COST = 16;

/** Bytes of their own: a view of a shared buffer would carry its neighbours along into the thread. */
const utf8 = new TextEncoder();

export interface Verdict {
  readonly matches: boolean;
  /** It matches, and its cost is lower than that of new hashes. */
  readonly outdated: boolean;
}

export interface Passwords {
  /**
   * Takes the same time whether `stored` is a hash, malformed or not there at all.
   * @returns failure `unavailable`, `deadline`, `internal` as `Hashers.run`.
   */
  verify(password: string, stored: string | undefined, context: WorkContext): Promise<Result<Verdict>>;
  /** As it is to be stored. */
  hash(password: string, context: WorkContext): Promise<Result<string>>;
}

export function makePasswords(options: { hashers: Hashers; secret: Secret; cost: number; log: Log }): Passwords {
  const { hashers, secret, cost, log } = options;
  const prehash = makePrehash(secret);

  return {
    async verify(password, stored, context) {
      const bytes = utf8.encode(password);
      const isLong = bytes.byteLength > BCRYPT_MAX_BYTES;
      const isPrehashed = stored?.startsWith(PREHASHED) ?? false;
      const bcrypt = isPrehashed ? stored?.slice(PREHASHED.length) : stored;
      const storedCost = Number(BCRYPT.exec(bcrypt ?? "")?.[1] ?? Number.NaN);
      const isHash = storedCost >= 4 && storedCost <= MAX_COST;
      if (stored !== undefined && !isHash) log.error("a stored password hash is malformed: nobody can log in with it");
      // A long password matches nothing but a pre-hashed one: what was stored plainly was short.
      const candidate = isHash && isLong === isPrehashed ? bcrypt : undefined;
      const given = isLong ? prehash(bytes) : bytes;
      const reply = await hashers.run({ kind: "verify", secret: given, hash: candidate, cost }, context);
      if (!reply.ok) return reply;
      if (reply.value.kind !== "verify") throw new Error("a thread answered another question");
      if (reply.value.malformed) log.error("a stored password hash is malformed: nobody can log in with it");
      return ok({ matches: reply.value.matches, outdated: reply.value.matches && storedCost < cost });
    },
    async hash(password, context) {
      const bytes = utf8.encode(password);
      const isLong = bytes.byteLength > BCRYPT_MAX_BYTES;
      const given = isLong ? prehash(bytes) : bytes;
      const reply = await hashers.run({ kind: "hash", secret: given, cost }, context);
      if (!reply.ok) return reply;
      if (reply.value.kind !== "hash") throw new Error("a thread answered another question");
      return ok(`${isLong ? PREHASHED : ""}${reply.value.hash}`);
    },
  };
}
