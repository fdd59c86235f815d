/**
 * The security checklist: what has to hold, and which test proves it. A line may name several; where something is proved
 * elsewhere than in the test run, it says where and why. `checklist.test.ts` fails where a test that is named is gone.
 */

/** A test by its file and (a part of) its name as it stands there. */
export interface Proof {
  readonly file: string;
  readonly test: string;
}

export interface Line {
  readonly number: number;
  readonly demand: string;
  readonly proofs: readonly Proof[];
  /** What of it is proved elsewhere, and why. */
  readonly elsewhere?: string;
}

const by = (file: string, ...tests: readonly string[]): Proof[] => tests.map((test) => ({ file, test }));

const DEPLOYMENT = "is of the deployment: it is looked at where images and database users are made (deploy/)";

export const CHECKLIST: readonly Line[] = [
  {
    number: 1,
    demand: "unknown user and wrong password: the same answer, and the same time",
    proofs: [
      ...by("test/security/checklist/users.test.ts", "[1] "),
      ...by("auth/auth.test.ts", "401, the same to the last byte, whatever is wrong"),
    ],
  },
  {
    number: 2,
    demand: "cost of hashes of at least 10, renewed at login",
    proofs: [
      ...by("auth/config.test.ts", "a cost that is worth the name"),
      ...by("auth/sessions/login.test.ts", "a hash of an older cost is renewed once after the answer"),
    ],
  },
  {
    number: 3,
    demand: "passwords that are equal in their first 72 bytes are two; 64 characters of 4 bytes are taken",
    proofs: [
      ...by("auth/auth.test.ts", "two passwords that are equal in their first 72 bytes are two passwords"),
      ...by("test/security/checklist/users.test.ts", "[3] "),
    ],
  },
  {
    number: 4,
    demand: "a malformed stored hash is a 401, after the same time",
    proofs: by(
      "auth/passwords.test.ts",
      "no stored hash, a malformed one and a cheaper one take as long as a wrong password",
    ),
  },
  {
    number: 5,
    demand: "logins are throttled: 429, Retry-After; nobody is locked out for ever",
    proofs: by(
      "auth/sessions/throttle.test.ts",
      "the eleventh wrong password waits, from wherever",
      "who was at an address before is not held up by strangers",
      "guessing at many accounts from one address is slowed down",
    ),
  },
  {
    number: 6,
    demand: "the most common passwords are refused, and no rule about signs",
    proofs: by(
      "auth/passwords-policy/policy.test.ts",
      "each of the list is refused, however it is written",
      "nothing is asked of the characters of a password",
    ),
  },
  {
    number: 7,
    demand: "no forged, changed, foreign or expired token",
    proofs: [
      ...by("broker/sessions/sessions.test.ts", "refused: %s", "no token with any one character changed is believed"),
      ...by(
        "auth/sessions/me.test.ts",
        "a token signed with our key and off the profile is refused: each claim counts",
      ),
      ...by("test/security/fuzz/tokens.ts", "access tokens and API keys that are nearly right"),
    ],
  },
  {
    number: 8,
    demand: "reuse ends the session; a lost answer gets the same successor; twenty at once get one",
    proofs: [
      ...by(
        "test/security/tabs.test.ts",
        "[8] twenty refreshes of one token at once",
        "[8] answers that are lost",
        "two tabs refresh",
      ),
      ...by("test/security/revocation.test.ts", "[8] an old refresh token comes again"),
    ],
  },
  {
    number: 9,
    demand: "logout, deactivation and a new password end sessions at once",
    proofs: by(
      "test/security/revocation.test.ts",
      "sessions are ended one by one: each token is refused at all three",
      "[9] after %s neither token",
      "[9] a new password",
      "[9] a user who is deactivated",
    ),
  },
  {
    number: 10,
    demand: "keys change under load, and no token is refused for it",
    proofs: by("test/security/rotation.test.ts", "[10] "),
  },
  {
    number: 11,
    demand: "API keys: only a hash is stored, every route asks for its scope, revoked is revoked",
    proofs: [
      ...by(
        "test/security/matrix.test.ts",
        "[11] every route with every credential",
        "[11] what anybody may is this and no more",
      ),
      ...by("test/security/checklist/users.test.ts", "[11] "),
      ...by(
        "auth/api-keys/api-keys.test.ts",
        "nobody gives a key what he has not himself",
        "a key makes, sees and ends no keys of its user",
      ),
    ],
  },
  {
    number: 12,
    demand: "nobody sees what is another's, whatever id he asks for",
    proofs: by("test/security/checklist/users.test.ts", "[12] "),
  },
  {
    number: 13,
    demand: "role, activity and id are not the caller's to set",
    proofs: by("test/security/checklist/users.test.ts", "[13] "),
  },
  {
    number: 14,
    demand: "no answer holds a password or a hash",
    proofs: [
      ...by(
        "test/security/checklist/answers.test.ts",
        "[14] no answer of any route has a place for a password or a hash",
      ),
      ...by("auth/auth.test.ts", "the right password: 202, the user and his tokens, nothing of the hash"),
    ],
  },
  {
    number: 15,
    demand: "only application/json",
    proofs: by("test/security/bad-input.test.ts", "content types and encodings: only JSON, only as it is"),
  },
  {
    number: 16,
    demand: "limits of size and depth; keys that mean something in JavaScript pollute nothing",
    proofs: [
      ...by(
        "test/security/bad-input.test.ts",
        "$what: $status",
        "limits and UTF-8 hold at each service's own route too",
      ),
      ...by("test/security/json-cases.ts", "100,000 levels, mixed", "__proto__ beside the action"),
    ],
  },
  {
    number: 17,
    demand: "one answer a request, whatever hides in it",
    proofs: [
      ...by("test/security/bad-input.test.ts", "%s%s: bodies and lengths that lie, as bytes on a socket"),
      ...by("test/security/smuggling.test.ts", "streams, each whole and cut in"),
      ...by("test/security/fuzz/streams.ts", "raw HTTP streams over TCP against all services"),
    ],
  },
  {
    number: 18,
    demand: "TRACE and CONNECT, a second or wrong Host are refused",
    proofs: [
      ...by("test/security/http-cases.ts", "TRACE", "CONNECT", "two Host headers"),
      ...by("shared/http/http.test.ts", "a Host header: %s"),
    ],
  },
  {
    number: 19,
    demand: "security headers on every answer",
    proofs: [
      ...by("shared/http/http.test.ts", "a %s carries request id, security and CORS headers"),
      ...by("test/security/fuzz/bodies.ts", "an answer without security headers"),
    ],
  },
  {
    number: 20,
    demand: "no origin is reflected that is not allowed",
    proofs: by("shared/http/http.test.ts", "origin %s may not read"),
  },
  {
    number: 21,
    demand: "X-Forwarded-For does not dodge a limit",
    proofs: [
      ...by("broker/limits.test.ts", "neither another credential, nor what a request says of its way"),
      ...by("shared/http/address.test.ts", "without proxies nothing that a request says is believed"),
    ],
  },
  {
    number: 22,
    demand: "slow heads and bodies are ended; connections of one address are bounded",
    proofs: [
      ...by(
        "test/security/bad-input.test.ts",
        "a head that is not there in time, however it drips, ends its connection",
        "a body that drips has the time of its request, then its connection is closed",
      ),
      ...by("shared/http/guard.test.ts", "an address has so many connections and no more"),
    ],
  },
  {
    number: 23,
    demand: "RPC: strangers and bad frames are refused, and a small frame stays small",
    proofs: [
      ...by(
        "shared/rpc/server.test.ts",
        "%s: that connection is closed, with an answer where there was an id, and no other",
      ),
      ...by("shared/rpc/codec.test.ts", "a small frame of shared references"),
      ...by("test/security/tls/rpc.test.ts", "mutual: no certificate, a rogue one"),
      ...by("test/security/fuzz/frames.ts", "RPC frames into the decoder"),
      ...by("test/security/fuzz/rpc-sockets.ts", "RPC frames over sockets against the logger"),
    ],
  },
  {
    number: 24,
    demand: "RPC: half frames are ended, connections bounded",
    proofs: by(
      "shared/rpc/server.test.ts",
      "a frame that stays incomplete for 10 s closes its connection",
      "a connection above the limit is closed and logged, and the others stay",
    ),
  },
  {
    number: 25,
    demand: "questions about logs: operators of the database are text",
    proofs: by("logger/data.test.ts", "any values come back as they were sent"),
    elsewhere: "entries can be looked up by id and counted, and not searched yet: there is no filter to inject into",
  },
  {
    number: 26,
    demand: "mail: tricks in addresses and headers, attachments by path, sizes",
    proofs: [
      ...by(
        "test/security/bad-input.test.ts",
        "header tricks in every field of a mail: 422, or text that stays text; nobody else gets mail",
      ),
      ...by("mail/request.test.ts", "at most 50 recipients in all three fields together"),
      ...by("mail/attachments.test.ts", "the largest that a request can hold is checked in no time, right or wrong"),
    ],
  },
  {
    number: 27,
    demand: "no open relay: a scope, and a quota of the sender",
    proofs: [
      ...by(
        "mail/several.test.ts",
        "the quota is exact over replicas at the same time",
        "not allowed by configuration: 403",
      ),
      ...by("test/security/matrix.test.ts", "[11] actions of one body are judged each by its own scope"),
    ],
  },
  {
    number: 28,
    demand: "no URL of a request is fetched",
    proofs: [
      ...by("test/security/checklist/source.test.ts", "[28] "),
      ...by("mail/events/webhooks.test.ts", "a redirect is not followed"),
    ],
  },
  {
    number: 29,
    demand: "pages show what is stored as text",
    proofs: [
      ...by("broker/v1/unsubscribe.test.ts", "a page without a policy of its own may do nothing"),
      ...by("dev/backing/inbox.test.ts", "other sites can neither read nor empty it, and a mail's HTML gets no rights"),
      ...by("shared/terminal/terminal.test.ts", "what a terminal would obey is not written"),
    ],
    elsewhere: "no page of the platform shows stored entries yet: the console brings this test with it",
  },
  {
    number: 30,
    demand: "errors tell nothing of the inside",
    proofs: [
      ...by("shared/http/http.test.ts", "a failure shows its message, a bug shows nothing, neither shows its cause"),
      ...by("test/security/fuzz/bodies.ts", "an answer that tells of the inside"),
    ],
  },
  {
    number: 31,
    demand: "logs: secrets are redacted, a line cannot be forged",
    proofs: [
      ...by(
        "shared/log/log.test.ts",
        "a line is one JSON object with time, level, service and message, however odd the text",
        "secrets are redacted by name at any depth, and inside URLs",
      ),
      ...by(
        "test/security/canary.test.ts",
        "none of it is in a log, an answer, a metric, a message, a spool or a database",
      ),
    ],
  },
  {
    number: 32,
    demand: "audit entries of logins, keys, roles and replays, with who and from where",
    proofs: [
      ...by("test/security/checklist/users.test.ts", "[32] "),
      ...by(
        "listener/dead-letters/dead-letters.test.ts",
        "replayed, they are stored once, however often; who did it is in the log before and after",
      ),
    ],
  },
  {
    number: 33,
    demand: "secrets from files, never twice, and no default ones in production",
    proofs: [
      ...by("shared/config/config.test.ts", "a secret is read from a file, is not printed, and may not be given twice"),
      ...by(
        "broker/config.test.ts",
        "production has no credentials that everybody knows, also not those of the defaults",
      ),
      ...by("auth/sessions/login.test.ts", "credentials that everybody knows are let in nowhere"),
    ],
    elsewhere: `that images and environments hold none ${DEPLOYMENT}`,
  },
  {
    number: 34,
    demand: "metrics and descriptions are not for everybody where that is configured",
    proofs: by(
      "broker/exposure.test.ts",
      "the API's description and all that goes with it can be closed",
      "metrics: open in development, off in production, or for who has the token",
    ),
  },
  {
    number: 35,
    demand: "TLS 1.2 outside, 1.3 inside, and whom it trusts",
    proofs: [
      ...by(
        "test/security/tls/https.test.ts",
        "outside: TLS 1.2 and 1.3, and nothing older",
        "with a client CA: no certificate, a rogue one",
      ),
      ...by(
        "test/security/tls/rpc.test.ts",
        "mutual: no certificate, a rogue one",
        "server only: its name is verified",
      ),
      ...by("test/security/tls/backing.test.ts", "hands a mail over to whom it trusts, and to nobody else"),
    ],
  },
  { number: 36, demand: "database users may what they need", proofs: [], elsewhere: DEPLOYMENT },
  { number: 37, demand: "RabbitMQ: a user and a virtual host of one's own", proofs: [], elsewhere: DEPLOYMENT },
  {
    number: 38,
    demand: "containers: no root, no capabilities, nothing to write to",
    proofs: by("test/compose.test.ts", "it has the five services, pinned images, and ports on this machine only"),
    elsewhere: `the rest ${DEPLOYMENT}`,
  },
  {
    number: 39,
    demand: "dependencies: exact, known, audited; no install script but known ones",
    proofs: by(
      "dev/supply/supply.test.ts",
      "our own bill: all of bun.lock",
      "what packages run at installation is known, and what is trusted is that and no more",
      "every version in package.json is exact",
    ),
    elsewhere: "advisories are asked of the registry by `bun run audit`, which needs one that can be reached",
  },
  {
    number: 40,
    demand: "Idempotency-Key: the same again is the same, another body is refused",
    proofs: by(
      "broker/keyed.test.ts",
      "the same again is answered as the first time, marked, and happens once",
      "another body under the key is 422, while it is under way and afterwards; the same meanwhile is 409",
    ),
  },
  {
    number: 41,
    demand: "secrets are compared in constant time",
    proofs: by("test/security/checklist/source.test.ts", "[41] "),
  },
  {
    number: 42,
    demand: "cookies are safe ones",
    proofs: by("test/security/checklist/source.test.ts", "[42] "),
  },
  {
    number: 43,
    demand: "no text becomes code",
    proofs: by("test/security/checklist/source.test.ts", "[43] "),
  },
  {
    number: 44,
    demand: "what fails, fails shut",
    proofs: [
      ...by("broker/v1/routes.test.ts", "auth away: from memory, marked, at once; login 503 with Retry-After"),
      ...by(
        "test/e2e/sessions.test.ts",
        "a broker that is started while auth is away knows no key and no session, and says so",
      ),
    ],
  },
];
