/** How the page asks the broker: with the session where there is one, with a deadline always, and with an outcome that never throws. */
import { accessToken, forgetAccess, isSignedIn } from "./session.ts";

export type { Schema } from "./words.ts";

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
  /** Statuses that are an answer here as 200 is, such as 503 of a report that something is not well. */
  readonly takes?: readonly number[];
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
  const { body, raw, headers = {}, signal, withinMs = WITHIN_MS, anonymous = false, takes = [] } = options;
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
    if (answer.ok || takes.includes(answer.status)) return { ...heard, ok: true, message, data: envelope?.data as T };
    return { ...heard, ok: false, trouble: troubleOf(answer, message) };
  } catch (error) {
    const late = deadline.aborted;
    const message = late ? `no answer within ${withinMs / 1_000} s` : "no answer from the broker";
    const trouble: Trouble = { kind: "offline", status: 0, message: `${message}${late ? "" : because(error)}` };
    return { status: 0, headers: new Headers(), text: "", ms: performance.now() - began, ok: false, trouble };
  }
}

export interface DownloadOptions {
  readonly signal?: AbortSignal;
  /** More is not kept in memory (default 64 MiB): what has come until then is given. */
  readonly maxBytes?: number;
  /** Bytes so far. */
  readonly onProgress?: (bytes: number) => void;
}

export interface Download {
  readonly bytes: number;
  /** There is more than `maxBytes`. */
  readonly cut: boolean;
  /** Its last 1,024 bytes as text: a file that says of itself whether it is whole says it there. */
  readonly end: string;
}

const DOWNLOAD_MAX = 64 * 1_024 * 1_024;
/** Longest that an export may take (ms). */
const DOWNLOAD_MS = 10 * 60_000;

/**
 * A file that only those may have who are signed in: fetched with the session, then given to the browser to keep under `name`.
 * Ended by the signal it gives nothing, and throws nothing.
 */
export async function download(path: string, name: string, options: DownloadOptions = {}): Promise<Download | Trouble> {
  const { signal, maxBytes = DOWNLOAD_MAX, onProgress } = options;
  const deadline = AbortSignal.timeout(DOWNLOAD_MS);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  try {
    const bearer = await accessToken();
    const answer = await fetch(path, {
      headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` },
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    });
    if (!answer.ok || answer.body === null) {
      return troubleOf(answer, parsed(await answer.text())?.message ?? `the broker answered ${answer.status}`);
    }
    const reader = answer.body.getReader();
    let cut = false;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      bytes += value.byteLength;
      onProgress?.(bytes);
      if (bytes < maxBytes) continue;
      cut = true;
      await reader.cancel();
      break;
    }
    const type = answer.headers.get("content-type") ?? "text/plain";
    const file = new Blob(parts, { type });
    const url = URL.createObjectURL(file);
    Object.assign(document.createElement("a"), { href: url, download: name }).click();
    URL.revokeObjectURL(url);
    return { bytes, cut, end: await file.slice(-1_024).text() };
  } catch (error) {
    return { kind: "offline", status: 0, message: `the file did not come${because(error)}` };
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
