/** How the page asks the broker: with the session where there is one, with a deadline always, and with an outcome that never throws. */
import type { components } from "../../../client/paths.ts";
import { accessToken, forgetAccess, isSignedIn } from "./session.ts";

/** A type of the API by its name in the description. */
export type Schema<K extends keyof components["schemas"]> = components["schemas"][K];

/**
 *     signed-out   a credential is needed, and none is there or it counts no longer
 *     forbidden    somebody else may
 *     not-found    there is nothing under that name
 *     offline      no answer: the network, or the broker, is away
 *     refused      the platform says no; `message` says why
 */
export type TroubleKind = "signed-out" | "forbidden" | "not-found" | "offline" | "refused";

export interface Trouble {
  readonly kind: TroubleKind;
  /** 0 where no answer came. */
  readonly status: number;
  readonly message: string;
  /** The scope that is missing (RFC 6750 §3). */
  readonly scope?: string;
  readonly retryAfterS?: number;
}

interface Heard {
  readonly status: number;
  readonly headers: Headers;
  /** As it came. */
  readonly text: string;
  /** Until all of the answer was there. */
  readonly ms: number;
}

export type Reply<T> = Heard &
  (
    | { readonly ok: true; readonly message: string; readonly data: T }
    | { readonly ok: false; readonly trouble: Trouble }
  );

export interface AskOptions {
  readonly body?: unknown;
  /** Text that is sent as it stands, instead of `body`. */
  readonly raw?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Longest that an answer may take (ms, default 15,000). */
  readonly withinMs?: number;
  /** Without a credential, whoever is signed in. */
  readonly anonymous?: boolean;
}

const WITHIN_MS = 15_000;

/** One request. A session that has just ended is renewed once, in silence. */
export async function ask<T = unknown>(method: string, path: string, options: AskOptions = {}): Promise<Reply<T>> {
  const first = await once<T>(method, path, options);
  if (first.ok || first.status !== 401 || options.anonymous === true || !isSignedIn()) return first;
  forgetAccess();
  return (await accessToken()) === undefined ? first : once<T>(method, path, options);
}

async function once<T>(method: string, path: string, options: AskOptions): Promise<Reply<T>> {
  const { body, raw, headers = {}, signal, withinMs = WITHIN_MS, anonymous = false } = options;
  const bearer = anonymous ? undefined : await accessToken();
  const content = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const deadline = AbortSignal.timeout(withinMs);
  const began = performance.now();
  try {
    const answer = await fetch(path, {
      method,
      headers: {
        ...(content === undefined ? {} : { "content-type": "application/json" }),
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...headers,
      },
      ...(content === undefined ? {} : { body: content }),
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    });
    const text = await answer.text();
    const heard = { status: answer.status, headers: answer.headers, text, ms: performance.now() - began };
    const envelope = parsed(text);
    const message = envelope?.message ?? `the broker answered ${answer.status}`;
    if (answer.ok) return { ...heard, ok: true, message, data: envelope?.data as T };
    return { ...heard, ok: false, trouble: troubleOf(answer, message) };
  } catch (error) {
    const late = deadline.aborted;
    const message = late ? `no answer within ${withinMs / 1_000} s` : "no answer from the broker";
    const trouble: Trouble = { kind: "offline", status: 0, message: `${message}${late ? "" : because(error)}` };
    return { status: 0, headers: new Headers(), text: "", ms: performance.now() - began, ok: false, trouble };
  }
}

function because(error: unknown): string {
  return error instanceof Error && error.message !== "" ? `: ${error.message}` : "";
}

function parsed(text: string): { message?: string; data?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    // Not JSON: shown as it came, where it is shown.
    return undefined;
  }
}

/** What an answer that is not a success means to whoever looks at the page. */
export function troubleOf(answer: Response, message: string): Trouble {
  const retryAfter = Number(answer.headers.get("retry-after") ?? Number.NaN);
  const scope = /scope="([^"]+)"/.exec(answer.headers.get("www-authenticate") ?? "")?.[1];
  return {
    kind: KINDS[answer.status] ?? "refused",
    status: answer.status,
    message,
    ...(Number.isNaN(retryAfter) ? {} : { retryAfterS: retryAfter }),
    ...(scope === undefined ? {} : { scope }),
  };
}

const KINDS: Readonly<Record<number, TroubleKind>> = { 401: "signed-out", 403: "forbidden", 404: "not-found" };

/** A path with its query; what is undefined or empty is left out. */
export function withQuery(
  path: string,
  query: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  if (given.length === 0) return path;
  return `${path}?${new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()}`;
}
