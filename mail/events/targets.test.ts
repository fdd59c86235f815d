/** What may be configured of webhooks, and that it says all and shows nothing where it is wrong. */
import { expect, test } from "bun:test";
import { type Environment, loadConfig } from "#shared/config";
import { fields, problemsOf } from "../config.ts";
import { signatureOf } from "./post.ts";
import { keyBytesOf } from "./targets.ts";

const load = (env: Environment) => loadConfig("mail", fields, env, problemsOf);
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(24, "k").toString("base64")}`;
const wrong = (env: Environment): string => {
  try {
    load(env);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
};

test("a laptop needs nothing, and calls nobody", () => {
  expect(load({})).toMatchObject({ WEBHOOK_EVENTS: expect.arrayContaining(["mail.sent", "mail.bounced"]) });
  expect(load({}).WEBHOOK_URLS).toBeUndefined();
  expect(load({}).WEBHOOK_EVENTS).not.toContain("mail.deferred");
});

test("what is kept and shown of a URL is not its query, user or password", () => {
  const WEBHOOK_URLS = "https://u:canary-p%40ss@hooks.example.com/a?key=canary#x, https://hooks.example.com/b";
  const [first, second] = load({ WEBHOOK_URLS, WEBHOOK_SECRET }).WEBHOOK_URLS ?? [];
  expect(first).toMatchObject({ name: "https://hooks.example.com/a", label: "hooks.example.com", exposed: false });
  expect(first?.url.reveal()).toBe("https://hooks.example.com/a?key=canary");
  expect(first?.authorization?.reveal()).toBe(`Basic ${btoa("u:canary-p@ss")}`);
  expect(second).toMatchObject({ name: "https://hooks.example.com/b", label: "hooks.example.com (2)" });
  expect(JSON.stringify([first, second])).not.toContain("canary");
  expect(Bun.inspect([first, second])).not.toContain("canary");
});

test("URLs and secret need each other: one line says so", () => {
  expect(wrong({ WEBHOOK_URLS: "https://a.example/" })).toMatch(/^ {2}WEBHOOK_SECRET is missing.*\n$/m);
  expect(wrong({ WEBHOOK_SECRET })).toMatch(/^ {2}WEBHOOK_URLS is missing/m);
  expect(wrong({ WEBHOOK_URLS: "https://a.example/canary", WEBHOOK_SECRET: "canary" })).toMatch(
    /WEBHOOK_SECRET must be/,
  );
});

test.each([
  ["ftp://a.example/canary"],
  ["canary"],
  ["https://a.example/canary,"],
  ["https://a.example/canary?x=1,https://a.example/canary?x=2"],
  ["https://%E0%A4%A@a.example/canary"],
  [Array.from({ length: 21 }, (_, nth) => `https://a.example/canary${nth}`).join(",")],
])("refused, and not shown: %s", (WEBHOOK_URLS) => {
  const message = wrong({ WEBHOOK_URLS, WEBHOOK_SECRET });
  expect(message).toContain("WEBHOOK_URLS must be");
  expect(message).not.toContain("canary");
});

test.each([
  "short",
  Buffer.alloc(23).toString("base64"),
  Buffer.alloc(65).toString("base64"),
  `${WEBHOOK_SECRET},`,
  "not base64 at all, is it?",
])("no secret: %s", (secret) => {
  expect(wrong({ WEBHOOK_URLS: "https://a.example/", WEBHOOK_SECRET: secret })).toContain("WEBHOOK_SECRET must be");
});

test("production calls over https only, but for this machine", () => {
  const ENVIRONMENT = "production";
  expect(wrong({ ENVIRONMENT, WEBHOOK_SECRET, WEBHOOK_URLS: "http://a.example/canary" })).toMatch(
    /WEBHOOK_URLS must be https/,
  );
  expect(wrong({ ENVIRONMENT, WEBHOOK_SECRET, WEBHOOK_URLS: "http://127.0.0.1.a.example/" })).toContain("https");
  const WEBHOOK_URLS = "https://a.example/,http://localhost:9000/,http://127.0.0.1/,http://[::1]:1/";
  expect(wrong({ ENVIRONMENT, WEBHOOK_SECRET, WEBHOOK_URLS })).not.toContain("WEBHOOK");
});

test("events that webhooks get are named one by one", () => {
  expect(load({ WEBHOOK_EVENTS: "mail.failed, mail.deferred" }).WEBHOOK_EVENTS).toEqual([
    "mail.failed",
    "mail.deferred",
  ]);
  expect(wrong({ WEBHOOK_EVENTS: "mail.opened" })).toContain("WEBHOOK_EVENTS must be");
});

test("the signature is that of the specification's example", () => {
  const { WEBHOOK_SECRET: keys = [] } = load({
    WEBHOOK_URLS: "https://a.example/",
    WEBHOOK_SECRET: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  });
  const body = new TextEncoder().encode('{"test": 2432232314}');
  expect(signatureOf(keyBytesOf(keys), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)).toBe(
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  );
});
