/** Who stands in the examples, and refusals that routes of users have in common. */
import { AT, path, RECEIPT_ID, refusal } from "./parts.ts";

export const USER = {
  id: 7,
  email: "ann@example.com",
  first_name: "Ann",
  last_name: "Other",
  active: 1,
  created_at: AT,
  updated_at: AT,
};
export const SESSION_ID = "01998f5e-7c10-7d01-9b3c-3f5e9d2a4c11";
export const ME = {
  ...USER,
  session_id: SESSION_ID,
  role: "member",
  scopes: ["logs:write", "mails:send"],
  email_verified: false,
  version: 1,
};
export const MANAGED = {
  ...USER,
  role: "member",
  extra_scopes: ["logs:read"],
  scopes: ["logs:write", "logs:read", "mails:send"],
  email_verified: true,
  version: 3,
  last_login_at: AT,
};
export const TOKENS = {
  access_token: "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.…",
  refresh_token: "sXZ1Q0xq7n0Jm0o2yqk1C6yJb0G4o3u2Vw8s5rT1xY0",
  expires_in: 600,
  refresh_expires_in: 2_592_000,
};
export const ONE_TIME_TOKEN = "Q2n0cY1b7o3u2Vw8s5rT1xY0sXZ1Q0xq7n0Jm0o2yqk";
export const PASSWORD = "correct horse battery staple";

export const USER_ID = path("id", "`id` of the user", { type: "integer", minimum: 1 }, String(USER.id));
export const SESSION_OF = path("id", "`id` of the session", { type: "string" }, SESSION_ID);
export const KEY_ID = path("id", "`id` of the key", { type: "string", format: "uuid" }, RECEIPT_ID);

/** Of a change that names the version that it was made from. */
export const CHANGED_MEANWHILE = { "409": refusal("Somebody has changed it meanwhile: read it again") };
