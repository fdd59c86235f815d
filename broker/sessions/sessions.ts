/**
 * Who is calling: access tokens are verified here, without asking auth; who the user is now is asked of auth, and for a
 * while remembered for the time that auth is away.
 */
import { errors, jwtVerify } from "jose";
import { isScope, type Scope } from "#contracts/scopes";
import { ACCESS_TOKEN, type LoginReply, type MeView } from "#contracts/auth";
import type { Degraded } from "#contracts/broker";
import type { Revocation } from "#contracts/identity";
import { type Failure, fail, ok, type Result } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import { type CallContext, inSpan, type Metrics } from "#shared/telemetry";
import type { Revocations, TokenClaims } from "../access/revocations.ts";
import { isAway } from "../handle.ts";
import type { KeySet } from "./key-set.ts";
import { SessionCache } from "./cache.ts";

/** How far auth's clock and ours may be apart (s). */
const CLOCK_SKEW_S = 5;
const SUBJECT = /^[1-9]\d{0,15}$/;
const SESSION_ID = /^[\x21-\x7e]{1,128}$/;

/** A caller whose access token is one of ours, with its time not over. */
export interface Session {
  /** The user's id. */
  readonly sub: string;
  /** The session's id. */
  readonly sid: string;
  /** When the token ends (s since 1970). */
  readonly exp: number;
  /** What the token is good for: of its claim `scope`, those that are known here. */
  readonly scopes: ReadonlySet<Scope>;
  /** The token itself, for auth and for nobody else. */
  readonly token: string;
}

export interface CurrentUser {
  readonly user: MeView;
  /** Where auth could not be asked: what was known, and since when. */
  readonly degraded?: Degraded;
}

export interface Sessions {
  /**
   * Whose token it is (RFC 9068 §4). Keys and revocations that are known do without auth; where not all revocations are,
   * auth is asked.
   * @returns failure `unauthenticated` for a token that is not ours, over or revoked; `unavailable` where its key cannot be
   * learnt, or where auth would have to be asked and is away.
   */
  verify(token: string | undefined, context: CallContext): Promise<Result<Session>>;
  /**
   * The user as auth knows him now; while auth is away as it knew him last, within the limit and the token's own time.
   * @returns failure `unauthenticated` where auth says that the session has ended; `unavailable` where auth is away and
   * nothing is remembered; `exhausted`.
   */
  current(session: Session, context: CallContext): Promise<Result<CurrentUser>>;
  /** Remembers the user of a session that has just been opened through this broker. */
  opened(reply: LoginReply): void;
  /** What is remembered of whom a revocation is about is so no longer. */
  forget(revocation: Pick<Revocation, "kind" | "subject">): void;
}

export interface SessionsOptions {
  readonly keys: Pick<KeySet, "find">;
  readonly revocations: Pick<Revocations, "ofToken">;
  /** Auth's `GET /me`. */
  readonly ask: (token: string, context: CallContext) => Promise<Result<MeView>>;
  /** Longest that what auth said is given again (s); 0: never. */
  readonly maxAgeS: number;
  readonly metrics: Metrics;
  readonly cache?: SessionCache;
}

export function makeSessions(options: SessionsOptions): Sessions {
  const { keys, revocations, ask, maxAgeS, metrics, cache = new SessionCache({ maxAgeS }) } = options;
  const answers = metrics.counter(
    "broker_sessions_total",
    "Lookups of a session's user, by where the answer is from.",
    ["from"],
  );
  metrics.gauge("broker_sessions_cached", "Sessions whose user is remembered.", [], (gauge) => gauge.set(cache.size));

  return {
    verify: (token, given) =>
      inSpan(given, "verify access token", {}, async (context, span) => {
        const verified = await verify(token, keys, context.deadline);
        if (!verified.ok) return verified;
        const { av, ...session } = verified.value;
        const standing = revocations.ofToken({ ...session, av });
        span.set({ "cache.hit": standing === "revoked" || standing === "stands" });
        if (standing === "revoked") return invalid();
        if (standing === "stands") return ok(session);
        const told = await askOf(session, context);
        if (!told.ok) return told;
        return told.value === undefined ? forAnother() : ok(session);
      }),

    current: (session, given) =>
      inSpan(given, "look up session", {}, async (context, span) => {
        const told = await askOf(session, context);
        if (told.ok) return told.value === undefined ? forAnother() : ok({ user: told.value });
        if (!isAway(told.error) || told.error.code === "exhausted") return told;
        const known = remembered(session, told.error);
        span.set({ "cache.hit": known.ok });
        return known;
      }),

    opened({ access_token: _a, refresh_token: _r, expires_in: _s, refresh_expires_in: _t, ...user }) {
      cache.keep(user.session_id, user, cache.now());
    },

    forget({ kind, subject }) {
      if (kind === "session") cache.drop(subject);
      if (kind === "user") cache.dropUser(Number(subject));
    },
  };

  /** The user as auth knows him now, remembered, as a refusal is; undefined where it answered for somebody else. */
  async function askOf(session: Session, context: CallContext): Promise<Result<MeView | undefined>> {
    const askedAt = cache.now();
    const answer = await ask(session.token, context);
    if (answer.ok) {
      const { id, session_id } = answer.value;
      if (String(id) !== session.sub || session_id !== session.sid) return ok(undefined);
      cache.keep(session.sid, answer.value, askedAt);
      answers.inc({ from: "auth" });
    } else if (answer.error.code === "unauthenticated" || answer.error.code === "forbidden") {
      cache.drop(session.sid);
      answers.inc({ from: "refused" });
    }
    return answer;
  }

  function remembered(session: Session, cause: Failure): Result<CurrentUser> {
    // The tolerance for clocks is for asking auth, which has the last word: nobody has it while auth is away.
    if (Date.now() >= session.exp * 1_000) return invalid();
    const known = cache.find(session.sid);
    answers.inc({ from: known === undefined ? "nobody" : "cache" });
    if (known === undefined) {
      return fail("unavailable", "The auth service is away, and nothing is known of this session", {
        cause,
        retryAfterS: cause.retryAfterS ?? 1,
      });
    }
    return ok({ user: known.user, degraded: { auth: `cached;age=${known.ageS}` } });
  }
}

const forAnother = () => fail("bad_gateway", undefined, { cause: "auth answered for another session" });

const invalid = () => fail("unauthenticated", "the access token is not valid");

async function verify(
  token: string | undefined,
  keys: Pick<KeySet, "find">,
  deadline: Deadline,
): Promise<Result<Session & Pick<TokenClaims, "av">>> {
  if (token === undefined) return fail("unauthenticated", "a bearer token is needed");
  let unknown: Failure | undefined;
  try {
    const { payload } = await jwtVerify(
      token,
      async ({ kid }) => {
        // Only auth's own keys, by their id: what else a header offers (jwk, jku, x5u) is the forger's (RFC 8725 §3.5).
        const found: Awaited<ReturnType<KeySet["find"]>> =
          typeof kid === "string" ? await keys.find(kid, deadline) : ok(undefined);
        if (!found.ok) unknown = found.error;
        if (!found.ok || found.value === undefined) throw new errors.JWKSNoMatchingKey();
        return found.value;
      },
      {
        algorithms: [ACCESS_TOKEN.algorithm],
        typ: ACCESS_TOKEN.type,
        issuer: ACCESS_TOKEN.issuer,
        audience: ACCESS_TOKEN.audience,
        requiredClaims: ["sub", "sid", "iat", "exp"],
        clockTolerance: CLOCK_SKEW_S,
      },
    );
    const { sub, exp } = payload;
    const sid = payload["sid"];
    const isWhole = typeof sub === "string" && typeof sid === "string" && typeof exp === "number";
    if (!isWhole || !SUBJECT.test(sub) || !SESSION_ID.test(sid)) return invalid();
    // Without an access_version it is older than any: as soon as the user's has changed once, it counts no longer.
    const av = typeof payload["av"] === "number" ? payload["av"] : 0;
    return ok({ sub, sid, exp, token, av, scopes: scopesOf(payload["scope"]) });
  } catch (error) {
    if (unknown !== undefined) return { ok: false, error: unknown };
    // What is wrong with a token is nobody's business who made it.
    if (error instanceof errors.JOSEError || error instanceof TypeError) return invalid();
    throw error;
  }
}

/** Scopes of a claim (RFC 8693 §4.2): words with spaces between. A word that is none here is of no use here. */
function scopesOf(claim: unknown): ReadonlySet<Scope> {
  return new Set(typeof claim === "string" ? claim.split(" ").filter(isScope) : []);
}
