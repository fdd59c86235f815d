/** The versioned API: API keys of people and services. */
import { ApiKeysQuery } from "../v1/identity.ts";
import {
  answer,
  AT,
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
import { KEY_ID } from "./people.ts";

const KEY = {
  id: RECEIPT_ID,
  name: "nightly export",
  prefix: "pk_AZmPXnwQegCLPD9enSpMEQ",
  user_id: 7,
  scopes: ["logs:read"],
  created_at: AT,
  expires_at: AT,
};
const NEW = {
  schema: ref("NewApiKey"),
  example: {
    message: "API key made: it is shown only now",
    data: { ...KEY, key: `${KEY.prefix}_Q2n0cY1b7o3u2Vw8s5rT1xY0sXZ1Q0xq7n0Jm0o2yqk` },
  },
};
const tags = ["Keys"];
const NOT_FOUND = { "404": refusal("No such key, or none that is yours to see") };
const UNDER_WAY = refusal("The same Idempotency-Key is under way", "Retry-After");

export const API_KEYS = {
  "/v1/api-keys": {
    post: {
      tags,
      summary: "Make an API key",
      description:
        "With scopes that you have yourself. `service`: of a service, which needs `keys:manage`. Keys are made in a session only: a key makes no key.",
      parameters: [IDEMPOTENCY_KEY],
      requestBody: body(ref("ApiKeyRequest"), {
        mine: { name: "nightly export", scopes: ["logs:read"], expires_at: "2027-11-23T00:00:00Z" },
        "a service's": { name: "billing", service: "billing", scopes: ["mails:send"] },
      }),
      responses: {
        "201": answer("The key, this once", NEW, ["Idempotent-Replayed"]),
        "403": refusal("Not the access token of a user, or a scope that you do not have yourself"),
        "409": UNDER_WAY,
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
    get: {
      tags,
      summary: "API keys, newest first; never the keys themselves",
      description: "Your own; others' with `users:read` or `keys:manage`.",
      parameters: query(ApiKeysQuery),
      responses: {
        "200": answer("A page of them", {
          schema: ref("ApiKeyPage"),
          example: { message: "1 API keys", data: { items: [{ ...KEY, last_used_at: AT }] } },
        }),
        "422": refusal("A query parameter that is not known or not valid"),
        ...BEHIND,
      },
    },
  },
  "/v1/api-keys/{id}": {
    delete: {
      tags,
      summary: "Revoke an API key",
      description: "Every broker refuses it within a second.",
      parameters: [KEY_ID],
      responses: {
        "200": answer("As it is now", {
          schema: ref("ApiKeyView"),
          example: { message: "API key revoked", data: { ...KEY, revoked_at: AT } },
        }),
        ...NOT_FOUND,
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
  "/v1/api-keys/{id}/rotate": {
    post: {
      tags,
      summary: "Put a new API key in the place of one",
      description: "The old one goes on working for `overlap_s`, so that it can be changed wherever it is used.",
      parameters: [KEY_ID, IDEMPOTENCY_KEY],
      requestBody: body(ref("ApiKeyRotation"), { "within an hour": { overlap_s: 3_600 } }),
      responses: {
        "201": answer("The new key, this once", NEW, ["Idempotent-Replayed"]),
        ...NOT_FOUND,
        "409": UNDER_WAY,
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
};
