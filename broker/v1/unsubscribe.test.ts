/** The links in bulk mails, through the broker's door. */
import { expect, test } from "bun:test";
import { brokers, refusal } from "../platform.test-kit.ts";

const { platform } = brokers();
const TOKEN = "canary-token_x.y~9";
const POLICY = "default-src 'none'; style-src 'sha256-x'; form-action 'self'; frame-ancestors 'none'";
const PAGE = "<!doctype html><form method=post><button>Unsubscribe</button></form>";
const BROWSER = { accept: "text/html,application/xhtml+xml;q=0.9" };

async function links(env: Record<string, string> = {}) {
  const running = await platform(env);
  running.mail.answer = () =>
    new Response(PAGE, {
      headers: {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": POLICY,
        "set-cookie": "a=b",
        "x-frame-options": "ALLOWALL",
        "access-control-allow-origin": "https://evil.example",
      },
    });
  const open = (method: string, token = TOKEN, init: RequestInit = {}) =>
    fetch(`${running.app.url}/v1/unsubscribe/${token}`, { method, redirect: "manual", ...init });
  return { ...running, open };
}

test.each(["GET", "POST"])(
  "%s is handed on with its token alone, and the page comes back under our headers",
  async (method) => {
    const { mail, open } = await links({ OPERATOR_TOKEN: "canary-operators-token" });
    const headers = {
      cookie: "canary-cookie=1",
      authorization: "Bearer canary-bearer",
      "content-type": "application/x-www-form-urlencoded",
      origin: "https://webmail.example",
    };
    const body = method === "POST" ? { body: "List-Unsubscribe=One-Click" } : {};
    const answer = await open(method, TOKEN, { headers, ...body });
    expect([answer.status, await answer.text()]).toEqual([200, PAGE]);
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(answer.headers.get("content-security-policy")).toBe(POLICY);
    expect(answer.headers.get("x-frame-options")).toBe("DENY");
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
    expect(answer.headers.has("set-cookie")).toBe(false);
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    const [asked] = mail.asked;
    expect([mail.asked.length, asked?.method, asked?.path, asked?.search, asked?.body]).toEqual([
      1,
      method,
      `/unsubscribe/${TOKEN}`,
      "",
      undefined,
    ]);
    expect(asked?.headers.get("accept")).toBe("application/json");
    await open(method, TOKEN, { headers: BROWSER });
    expect(mail.asked.at(-1)?.headers.get("accept")).toBe("text/html");
    for (const name of ["cookie", "authorization", "origin"]) expect(asked?.headers.has(name)).toBe(false);
    expect(asked?.headers.get("x-request-id")).toBe(answer.headers.get("x-request-id"));
  },
);

test("a page without a policy of its own may do nothing", async () => {
  const { mail, open } = await links();
  mail.answer = () => new Response(PAGE, { headers: { "content-type": "text/html" } });
  const policy = (await open("GET")).headers.get("content-security-policy");
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("form-action 'none'");
});

test("a body is not read, whatever it is; what cannot be a token is 404 without asking", async () => {
  const { mail, open } = await links();
  expect((await open("POST", TOKEN, { body: "{bad", headers: { "content-type": "text/plain" } })).status).toBe(200);
  expect((await open("POST")).status).toBe(200);
  expect(mail.asked).toHaveLength(2);
  for (const token of ["x".repeat(1_025), "a%2Fb", "a%20b", "..%2Fmails", "%3Fa", "a%00b"]) {
    for (const method of ["GET", "POST"]) expect([token, (await open(method, token)).status]).toEqual([token, 404]);
  }
  expect((await open("GET", "x".repeat(1_024))).status).toBe(200);
  expect(mail.asked).toHaveLength(3);
  expect((await open("DELETE")).status).toBe(405);
});

test("an unknown token is 404 in the mail service's words", async () => {
  const { mail, open } = await links();
  mail.answer = () => refusal(404);
  const answer = await open("POST", "unknown");
  expect([answer.status, await answer.json()]).toEqual([404, { error: true, message: "in its own words" }]);
});

test.each<[string, () => Response, number]>([
  ["a redirect", () => new Response(null, { status: 302, headers: { location: "https://evil.example" } }), 502],
  ["another kind of content", () => new Response("x", { headers: { "content-type": "image/svg+xml" } }), 502],
  ["a page too long", () => new Response("x".repeat(131_073), { headers: { "content-type": "text/html" } }), 502],
  ["a failure of its own", () => refusal(500), 502],
  ["not now", () => refusal(503), 503],
])("%s from the mail service: try later, and nothing of it comes through", async (_what, answer, status) => {
  const { mail, open } = await links();
  mail.answer = answer;
  const told = await open("GET");
  expect([told.status, await told.json()]).toEqual([status, { error: true, message: "try again later" }]);
  expect(Number(told.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(told.headers.has("location")).toBe(false);
});

test("the mail service away: an envelope for programs, a page for people, both with a time to try again", async () => {
  const { mail, open } = await links();
  await mail.stop();
  const program = await open("POST");
  expect([program.status, await program.json()]).toEqual([503, { error: true, message: "try again later" }]);
  const person = await open("GET", TOKEN, { headers: BROWSER });
  expect(person.status).toBe(503);
  expect(person.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(await person.text()).toContain("Try again in a moment");
  for (const { headers } of [program, person]) {
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  }
});
