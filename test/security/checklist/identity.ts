/** Users, sessions, tokens, keys: 1 to 14. */
import { by, type Line } from "./line.ts";

export const IDENTITY: readonly Line[] = [
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
];
