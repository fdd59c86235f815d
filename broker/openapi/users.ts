/** The versioned API: registering, proving an address, managing users. */
import { UsersQuery } from "../v1/identity.ts";
import {
  answer,
  BEHIND,
  body,
  BODY_REFUSALS,
  IDEMPOTENCY_KEY,
  NO_QUERY,
  query,
  RECEIPT_ID,
  ref,
  refusal,
} from "./parts.ts";
import { CHANGED_MEANWHILE, MANAGED, ONE_TIME_TOKEN, PASSWORD, USER, USER_ID } from "./people.ts";

const tags = ["Users"];
const NOT_FOUND = { "404": refusal("No such user") };
const UNDER_WAY = { "409": refusal("The same Idempotency-Key is under way", "Retry-After") };
const ADDRESS = body(ref("AddressRequest"), { address: { email: USER.email } });
const MAY_BE_SENT = answer("The same whether the address is a user's or not", undefined, ["Idempotent-Replayed"]);
const OVER = "The token is none, was used, or is over";

export const USERS = {
  "/v1/users": {
    post: {
      tags,
      summary: "Register",
      description:
        "Creates the user and sends a welcome mail (`mail_id`). After a 502, 503 or 504 it is not known whether the user was created: the same Idempotency-Key and body again tells.",
      parameters: [IDEMPOTENCY_KEY],
      requestBody: body(ref("Registration"), {
        registration: { email: USER.email, password: PASSWORD, first_name: "Ann", last_name: "Other" },
      }),
      responses: {
        "201": answer(
          "`User registered`",
          {
            schema: ref("RegistrationView"),
            example: { message: "User registered", data: { ...USER, registration: "pending", mail_id: RECEIPT_ID } },
          },
          ["Idempotent-Replayed"],
        ),
        "409": refusal("The address is taken"),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
    get: {
      tags,
      summary: "Users, newest first",
      description: "All conditions that are given have to hold.",
      parameters: query(UsersQuery),
      responses: {
        "200": answer("A page of them", {
          schema: ref("ManagedUserPage"),
          example: { message: "Users", data: { items: [MANAGED], next_cursor: "Nw" } },
        }),
        "422": refusal("A query parameter that is not known or not valid"),
        ...BEHIND,
      },
    },
  },
  "/v1/users/{id}": {
    get: {
      tags,
      summary: "A user",
      parameters: [USER_ID],
      responses: {
        "200": answer("The user", { schema: ref("ManagedUser"), example: { message: "User", data: MANAGED } }),
        ...NOT_FOUND,
        ...NO_QUERY,
        ...BEHIND,
      },
    },
    patch: {
      tags,
      summary: "Change a user",
      description:
        "What is absent stays. Where role, scopes or activity change, his tokens count no longer, and refreshing gives him new ones, if he is still active. An entry `audit` in the log says what was changed, and by whom.",
      parameters: [USER_ID],
      requestBody: body(ref("UserPatch"), {
        deactivate: { version: 3, active: false },
        "another role": { version: 3, role: "operator", extra_scopes: [] },
      }),
      responses: {
        "200": answer("As he is now", {
          schema: ref("ManagedUser"),
          example: { message: "User changed", data: { ...MANAGED, version: 4 } },
        }),
        ...NOT_FOUND,
        ...CHANGED_MEANWHILE,
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
    delete: {
      tags,
      summary: "Delete a user",
      description: "For good, with his sessions and keys. Deactivating keeps him.",
      parameters: [USER_ID],
      responses: {
        "200": answer("Done", undefined),
        ...NOT_FOUND,
        "409": refusal("He is the last one who may manage users"),
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
  "/v1/email-verifications": {
    post: {
      tags,
      summary: "Ask for a mail that proves an address",
      parameters: [IDEMPOTENCY_KEY],
      requestBody: ADDRESS,
      responses: { "202": MAY_BE_SENT, ...UNDER_WAY, ...BODY_REFUSALS, ...BEHIND },
    },
  },
  "/v1/email-verifications/confirm": {
    post: {
      tags,
      summary: "Prove the address, by the token of the mail's link",
      parameters: [IDEMPOTENCY_KEY],
      requestBody: body(ref("ConfirmRequest"), { confirm: { token: ONE_TIME_TOKEN } }),
      responses: {
        "200": answer("Done", undefined, ["Idempotent-Replayed"]),
        ...UNDER_WAY,
        ...BODY_REFUSALS,
        "422": refusal(OVER),
        ...BEHIND,
      },
    },
  },
  "/v1/password-resets": {
    post: {
      tags,
      summary: "Ask for a mail that lets somebody set a new password",
      parameters: [IDEMPOTENCY_KEY],
      requestBody: ADDRESS,
      responses: { "202": MAY_BE_SENT, ...UNDER_WAY, ...BODY_REFUSALS, ...BEHIND },
    },
  },
  "/v1/password-resets/confirm": {
    post: {
      tags,
      summary: "Set a new password, by the token of the mail's link",
      description: "All sessions of the user end.",
      parameters: [IDEMPOTENCY_KEY],
      requestBody: body(ref("ResetRequest"), { reset: { token: ONE_TIME_TOKEN, new_password: PASSWORD } }),
      responses: {
        "200": answer("Done", undefined, ["Idempotent-Replayed"]),
        ...UNDER_WAY,
        ...BODY_REFUSALS,
        "422": refusal(`${OVER}; or the new password is one that everybody tries first`),
        ...BEHIND,
      },
    },
  },
};
