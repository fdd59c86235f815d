/** Calls a webhook, signed. Talks, never decides. Source: Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks). */
import { createHmac } from "node:crypto";
import { bodyOf, type StoredEvent } from "./event.ts";
import type { Target } from "./targets.ts";

/** What came of a call. */
export type Answer =
  | { readonly status: number; readonly retryAfterS: number | undefined }
  /** None came; `reason` is a word or two of ours, without the URL. */
  | { readonly status: undefined; readonly reason: string };

/** Never throws. The body of an answer is not read, and redirects are answers like any other. */
export type Post = (target: Target, event: StoredEvent, signal: AbortSignal) => Promise<Answer>;

/**
 * Value of `webhook-signature`: a signature by each key, separated by spaces.
 * @param timestampS Unix time (s) as `webhook-timestamp` has it.
 */
export function signatureOf(keys: readonly Uint8Array[], id: string, timestampS: number, body: Uint8Array): string {
  return keys
    .map((key) => `v1,${createHmac("sha256", key).update(`${id}.${timestampS}.`).update(body).digest("base64")}`)
    .join(" ");
}

/** Seconds from now of a `Retry-After` in either form (RFC 9110 §10.2.3). */
function retryAfterOf(value: string | null): number | undefined {
  if (value === null) return undefined;
  const seconds = /^\d{1,10}$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1_000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}

/** Error messages of the runtime may name the URL: only their codes are told. */
function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === "TimeoutError") return "no answer in time";
  if (error instanceof DOMException && error.name === "AbortError") return "cut";
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown";
  return `no connection (${code})`;
}

export function makePost(keys: readonly Uint8Array[]): Post {
  return async (target, event, signal) => {
    const body = bodyOf(event);
    const timestampS = Math.floor(Date.now() / 1_000);
    const { authorization } = target;
    try {
      const response = await fetch(target.url.reveal(), {
        method: "POST",
        body,
        headers: {
          "content-type": "application/json",
          "user-agent": "mail-webhooks",
          "webhook-id": event.id,
          "webhook-timestamp": String(timestampS),
          "webhook-signature": signatureOf(keys, event.id, timestampS, body),
          ...(authorization === undefined ? {} : { authorization: authorization.reveal() }),
        },
        redirect: "manual",
        decompress: false,
        signal,
      });
      const { status, headers } = response;
      // A body that has come already leaves the connection for the next call; one that goes on ends it.
      await response.body?.cancel().catch(() => undefined);
      return { status, retryAfterS: retryAfterOf(headers.get("retry-after")) };
    } catch (error) {
      return { status: undefined, reason: reasonOf(error) };
    }
  };
}
