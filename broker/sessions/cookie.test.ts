/** The cookie of the refresh token, as a browser reads it (RFC 6265). */
import { expect, test } from "bun:test";
import { endCookie, intoCookie, isByCookie, refreshTokenOf } from "./cookie.ts";

const TOKEN = "sXZ1Q0xq7n0Jm0o2yqk1C6yJb0G4o3u2Vw8s5rT1xY0";
const request = (headers: Record<string, string> = {}, scheme = "http") =>
  new Request(`${scheme}://localhost/v1/sessions`, { headers });
function put(asked: Request) {
  const set = { headers: {} as Record<string, string | number> };
  const left = intoCookie({ refresh_token: TOKEN, refresh_expires_in: 60, session_id: "s" }, asked, set);
  return { left, cookie: String(set.headers["set-cookie"]) };
}

test("the token is in the cookie and in nothing else, as long as it works, for the routes of sessions, out of reach of scripts", () => {
  const { left, cookie } = put(request());
  expect(left).toEqual({ refresh_expires_in: 60, session_id: "s" } as never);
  expect(cookie.split("; ")).toEqual([
    `platform_refresh=${TOKEN}`,
    "Path=/v1/sessions",
    "Max-Age=60",
    "HttpOnly",
    "SameSite=Strict",
  ]);
});

test.each([
  ["https", {}, true],
  ["http", { "x-forwarded-proto": "https" }, true],
  ["http", { "x-forwarded-proto": "HTTPS, http" }, true],
  ["http", { forwarded: 'for=192.0.2.1;proto="https", for=10.0.0.1;proto=http' }, true],
  ["http", { "x-forwarded-proto": "http" }, false],
  ["http", { forwarded: "for=192.0.2.1;proto=http, for=10.0.0.1;proto=https" }, false],
  ["http", { "x-forwarded-proto": "httpsx" }, false],
  ["http", {}, false],
] as const)("by %s with %p it is for HTTPS only: %p", (scheme, headers, expected) => {
  expect(put(request(headers, scheme)).cookie.endsWith("; Secure")).toBe(expected);
});

test("it is found among others, and what can be none is none", () => {
  for (const [cookie, expected] of [
    [`platform_refresh=${TOKEN}`, TOKEN],
    [`theme=dark; platform_refresh=${TOKEN}; other=1`, TOKEN],
    [`a=1;platform_refresh=${TOKEN} ;b=2`, TOKEN],
    [`x_platform_refresh=${TOKEN}`, undefined],
    [`theme=platform_refresh=${TOKEN}`, undefined],
    ["platform_refresh=", undefined],
    ["platform_refresh=short", undefined],
    [`platform_refresh="${TOKEN}"`, undefined],
    [`platform_refresh=${"x".repeat(513)}`, undefined],
    ["", undefined],
  ] as const)
    expect([cookie, refreshTokenOf(request({ cookie }))]).toEqual([cookie, expected]);
  expect(refreshTokenOf(request())).toBeUndefined();
});

test("only the header asks for it, and the end takes it away", () => {
  expect(isByCookie(request({ "x-session": "cookie" }))).toBe(true);
  for (const headers of [{}, { "x-session": "body" }, { cookie: `platform_refresh=${TOKEN}` }] as Record<
    string,
    string
  >[])
    expect(isByCookie(request(headers))).toBe(false);
  const set = { headers: {} as Record<string, string | number> };
  endCookie(request(), set);
  expect(String(set.headers["set-cookie"])).toStartWith("platform_refresh=; Path=/v1/sessions; Max-Age=0; HttpOnly");
});
