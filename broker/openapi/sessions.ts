/** The versioned API: logging in, going on, logging out; the user of a session. */
import { PageQuery } from "../v1/identity.ts";
import {
  answer,
  AT,
  BEHIND,
  body,
  BODY_REFUSALS,
  IDEMPOTENCY_KEY,
  NO_QUERY,
  query,
  ref,
  refusal,
  SESSION_BY,
} from "./parts.ts";
import { CHANGED_MEANWHILE, ME, PASSWORD, SESSION_ID, SESSION_OF, TOKENS, USER, USER_ID } from "./people.ts";

const SESSION = {
  id: SESSION_ID,
  user_id: USER.id,
  created_at: AT,
  used_at: AT,
  expires_at: AT,
  address: "203.0.113.7",
  agent: "Mozilla/5.0",
  current: true,
};
const PAGE = {
  schema: ref("SessionPage"),
  example: { message: "Sessions", data: { items: [SESSION] } },
};
const ENDED = { schema: ref("SessionsEnded"), example: { message: "Sessions ended", data: { ended: 3 } } };
const ONE = { schema: ref("SessionsEnded"), example: { message: "Session ended", data: { ended: 1 } } };
const tags = ["Sessions"];

export const SESSIONS = {
  "/v1/sessions": {
    post: {
      tags,
      summary: "Log in",
      description:
        "Begins a session. Keep `refresh_token` where no script reads it: for a page, `X-Session: cookie` does so. The answer is the same, and takes the same time, whether the address or the password is wrong.",
      parameters: [SESSION_BY, IDEMPOTENCY_KEY],
      requestBody: body(ref("Credentials"), { login: { email: "admin@example.com", password: "verysecret" } }),
      responses: {
        "201": answer(
          "The user and his tokens",
          {
            schema: ref("LoginReply"),
            example: { message: `Logged in user ${USER.email}`, data: { ...ME, ...TOKENS } },
          },
          ["Idempotent-Replayed", "Set-Cookie"],
        ),
        "401": refusal("`Invalid Credentials`", "WWW-Authenticate"),
        "409": refusal("The same Idempotency-Key is under way", "Retry-After"),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
    get: {
      tags,
      summary: "Your sessions that have not ended",
      parameters: query(PageQuery),
      responses: { "200": answer("A page of them, newest first", PAGE), ...NO_QUERY, ...BEHIND },
    },
    delete: {
      tags,
      summary: "End all of your sessions, this one among them",
      responses: { "200": answer("How many", ENDED), ...NO_QUERY, ...BEHIND },
    },
  },
  "/v1/sessions/refresh": {
    post: {
      tags,
      summary: "Go on with a session: new tokens for a refresh token",
      description:
        "A refresh token works once. The same one again within 10 s gets the same successor, so that a lost answer or a second tab ends nothing; later it ends the session.",
      parameters: [SESSION_BY],
      requestBody: body(
        { anyOf: [ref("RefreshRequest"), { type: "object", additionalProperties: false }] },
        { refresh: { refresh_token: TOKENS.refresh_token }, "by cookie": {} },
      ),
      responses: {
        "200": answer(
          "The tokens to go on with",
          {
            schema: ref("TokenReply"),
            example: { message: "Session refreshed", data: { ...TOKENS, session_id: SESSION_ID } },
          },
          ["Set-Cookie"],
        ),
        "401": refusal("The refresh token works no longer: log in again", "WWW-Authenticate", "Set-Cookie"),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
  "/v1/sessions/current": {
    delete: {
      tags,
      summary: "Log out",
      description: "This session ends; its access token is refused by every broker within a second.",
      parameters: [SESSION_BY],
      responses: { "200": answer("Done", ONE, ["Set-Cookie"]), ...NO_QUERY, ...BEHIND },
    },
  },
  "/v1/sessions/{id}": {
    delete: {
      tags,
      summary: "End one of your sessions",
      parameters: [SESSION_OF],
      responses: {
        "200": answer("Done", ONE),
        "404": refusal("None of yours"),
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
  "/v1/users/{id}/sessions": {
    get: {
      tags: ["Users"],
      summary: "Sessions of a user",
      parameters: [USER_ID, ...query(PageQuery)],
      responses: {
        "200": answer("A page of them, newest first", PAGE),
        "404": refusal("No such user"),
        ...NO_QUERY,
        ...BEHIND,
      },
    },
    delete: {
      tags: ["Users"],
      summary: "End all sessions of a user",
      parameters: [USER_ID],
      responses: {
        "200": answer("How many", ENDED),
        "404": refusal("No such user"),
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
  "/v1/me": {
    get: {
      tags,
      summary: "The user of this session",
      description:
        "The token is verified by the broker itself; who the user is now is asked of auth. While auth is away, the answer is what auth said last (at most SESSION_CACHE_MAX_AGE_S ago, by default 10 minutes, and never after the token's own end), and says so.",
      responses: {
        "200": answer(
          "The user; `degraded` where it is from memory",
          {
            schema: { allOf: [ref("MeView"), { type: "object", properties: { degraded: ref("Degraded") } }] },
            example: {
              message: "The user of this session",
              data: { ...ME, degraded: { auth: "cached;age=12" } },
            },
          },
          ["X-Degraded"],
        ),
        "401": refusal("No token, one that is not ours or over, or a session that has ended", "WWW-Authenticate"),
        ...NO_QUERY,
        "429": BEHIND["429"],
        "502": BEHIND["502"],
        "503": refusal(
          "Auth is away, and nothing is known of this session, or of the key that its token is signed with",
          "Retry-After",
        ),
      },
    },
    patch: {
      tags,
      summary: "Change your name",
      requestBody: body(ref("MePatch"), { "another name": { version: 1, first_name: "Anna" } }),
      responses: {
        "200": answer("As it is now", { schema: ref("MeView"), example: { message: "User changed", data: ME } }),
        ...CHANGED_MEANWHILE,
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
  "/v1/me/password": {
    put: {
      tags,
      summary: "Change your password",
      description: "All of your other sessions end.",
      requestBody: body(ref("PasswordChange"), {
        change: { current_password: "verysecret", new_password: PASSWORD },
      }),
      responses: {
        "200": answer("Done, and how many others have ended", ENDED),
        "409": refusal("The password was changed elsewhere meanwhile"),
        ...BODY_REFUSALS,
        "422": refusal(
          "The current password is another, or the new one is too short or one that everybody tries first",
        ),
        ...BEHIND,
      },
    },
  },
};
