/** Logs, secrets, links, deployment, dependencies, and what remains: 31 to 44. */
import { by, type Line } from "./line.ts";

const DEPLOYMENT = "is of the deployment: it is looked at where images and database users are made (deploy/)";

export const OPERATION: readonly Line[] = [
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
    proofs: [
      ...by("test/security/checklist/source.test.ts", "[42] "),
      ...by(
        "broker/sessions/cookie.test.ts",
        "the token is in the cookie and in nothing else, as long as it works, for the routes of sessions, out of reach of scripts",
        "only the header asks for it, and the end takes it away",
      ),
      ...by("broker/v1/identity.test.ts", "no page of another origin may send the header that makes the cookie count"),
    ],
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
