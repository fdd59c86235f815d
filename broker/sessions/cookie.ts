/**
 * The refresh token of a page, in a cookie that no script can read (RFC 6265). It counts only in requests with `X-Session: cookie`:
 * a header that no form and, by CORS, no page of another origin can send, so that the cookie alone does nothing for anybody.
 */
import { SESSION_HEADER } from "#contracts/headers";
import type { Settable } from "../marks.ts";

const NAME = "platform_refresh";
/** Where a cookie with that name can be one of ours. */
const PAIR = new RegExp(`(?:^|;)\\s*${NAME}=([\\w-]{20,512})\\s*(?:;|$)`);

/** Whether whoever asks wants the refresh token to come and go in the cookie. */
export function isByCookie(request: Request): boolean {
  return request.headers.get(SESSION_HEADER) === "cookie";
}

/** @returns undefined where there is none that could be one. */
export function refreshTokenOf(request: Request): string | undefined {
  return PAIR.exec(request.headers.get("cookie") ?? "")?.[1];
}

interface Tokens {
  readonly refresh_token: string;
  /** Seconds. */
  readonly refresh_expires_in: number;
}

/** Puts the refresh token into the cookie. @returns all else. */
export function intoCookie<T extends Tokens>(tokens: T, request: Request, set: Settable): Omit<T, "refresh_token"> {
  const { refresh_token: token, ...others } = tokens;
  setCookie(token, tokens.refresh_expires_in, request, set);
  return others;
}

/** The browser forgets it. */
export function endCookie(request: Request, set: Settable): void {
  setCookie("", 0, request, set);
}

function setCookie(value: string, maxAgeS: number, request: Request, set: Settable): void {
  const secure = isSecure(request) ? "; Secure" : "";
  set.headers["set-cookie"] =
    `${NAME}=${value}; Path=/v1/sessions; Max-Age=${maxAgeS}; HttpOnly; SameSite=Strict${secure}`;
}

/**
 * Whether the client's way here was by HTTPS, ours or a proxy's. Who says so falsely is believed: all that he gets is a cookie that
 * his own browser does not send.
 */
function isSecure({ url, headers }: Request): boolean {
  return (
    url.startsWith("https:") ||
    /^\s*https\b/i.test(headers.get("x-forwarded-proto") ?? "") ||
    /(?:^|;)\s*proto="?https\b/i.test((headers.get("forwarded") ?? "").split(",", 1)[0] ?? "")
  );
}
