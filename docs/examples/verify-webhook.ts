/** Whether a webhook is genuine (Standard Webhooks 1.0.0), without any dependency. See docs/mail-events.md. */
import { createHmac, timingSafeEqual } from "node:crypto";

const TOLERANCE_S = 5 * 60;

/**
 * @param body the bytes as they came: parse them afterwards.
 * @param secret base64, with or without `whsec_`.
 * @returns false also for what is older than five minutes: somebody may be sending it again.
 */
export function isGenuine(headers: Headers, body: Uint8Array, secret: string): boolean {
  const id = headers.get("webhook-id") ?? "";
  const timestamp = headers.get("webhook-timestamp") ?? "";
  const age = Math.abs(Date.now() / 1_000 - Number(timestamp));
  if (id === "" || !/^\d+$/.test(timestamp) || age > TOLERANCE_S) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // Several during a rotation: one that fits is enough.
  return (headers.get("webhook-signature") ?? "").split(" ").some((signature) => {
    const [version, value = ""] = signature.split(",");
    const given = Buffer.from(value, "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}
