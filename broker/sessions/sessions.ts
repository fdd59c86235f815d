/**
 * Who is calling: access tokens are verified here, without asking auth; who the user is now is asked of auth, and for a
 * while remembered for the time that auth is away.
 */
import { errors, jwtVerify } from "jose";
import { ACCESS_TOKEN, type LoginReply, type MeView } from "#contracts/auth";
import type { Degraded } from "#contracts/broker";
import { type Failure, fail, ok, type Result } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import type { CallContext, Metrics } from "#shared/telemetry";
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
   * Whose token it is (RFC 9068 §4). Keys that are known do without auth.
   * @returns failure `unauthenticated` for a token that is not ours or over; `unavailable` where its key cannot be learnt.
   */
  verify(token: string | undefined, deadline: Deadline): Promise<Result<Session>>;
  /**
   * The user as auth knows him now; while auth is away as it knew him last, within the limit and the token's own time.
   * @returns failure `unauthenticated` where auth says that the session has ended; `unavailable` where auth is away and
   * nothing is remembered; `exhausted`.
   */
  current(session: Session, context: CallContext): Promise<Result<CurrentUser>>;
  /** Remembers the user of a session that has just been opened through this broker. */
  opened(reply: LoginReply): void;
}

export interface SessionsOptions {
  readonly keys: Pick<KeySet, "find">;
  /** Auth's `GET /me`. */
  readonly ask: (token: string, context: CallContext) => Promise<Result<MeView>>;
  /** Longest that what auth said is given again (s); 0: never. */
  readonly maxAgeS: number;
  readonly metrics: Metrics;
  readonly cache?: SessionCache;
}

export function makeSessions(options: SessionsOptions): Sessions {
  const { keys, ask, maxAgeS, metrics, cache = new SessionCache({ maxAgeS }) } = options;
  const answers = metrics.counter(
    "broker_sessions_total",
    "Lookups of a session's user, by where the answer is from.",
    ["from"],
  );
  metrics.gauge("broker_sessions_cached", "Sessions whose user is remembered.", [], (gauge) => gauge.set(cache.size));

  return {
    verify: (token, deadline) => verify(token, keys, deadline),

    async current(session, context) {
      const askedAt = cache.now();
      const answer = await ask(session.token, context);
      if (answer.ok) {
        const { id, session_id } = answer.value;
        if (String(id) !== session.sub || session_id !== session.sid) {
          return fail("bad_gateway", undefined, { cause: "auth answered for another session" });
        }
        cache.keep(session.sid, answer.value, askedAt);
        answers.inc({ from: "auth" });
        return ok({ user: answer.value });
      }
      const { code } = answer.error;
      if (code === "unauthenticated" || code === "forbidden") {
        cache.drop(session.sid);
        answers.inc({ from: "refused" });
        return answer;
      }
      return isAway(answer.error) && code !== "exhausted" ? remembered(session, answer.error) : answer;
    },

    opened({ access_token: _access, refresh_token: _refresh, expires_in: _expires, ...user }) {
      cache.keep(user.session_id, user, cache.now());
    },
  };

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

const invalid = () => fail("unauthenticated", "the access token is not valid");

async function verify(
  token: string | undefined,
  keys: Pick<KeySet, "find">,
  deadline: Deadline,
): Promise<Result<Session>> {
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
    return isWhole && SUBJECT.test(sub) && SESSION_ID.test(sid) ? ok({ sub, sid, exp, token }) : invalid();
  } catch (error) {
    if (unknown !== undefined) return { ok: false, error: unknown };
    // What is wrong with a token is nobody's business who made it.
    if (error instanceof errors.JOSEError || error instanceof TypeError) return invalid();
    throw error;
  }
}
