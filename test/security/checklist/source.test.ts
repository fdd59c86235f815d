/** What no running service has in its code. */
import { beforeAll, expect, test } from "bun:test";
import { matching, type SourceLine, sourceLines } from "./source.ts";

let lines: readonly SourceLine[];
beforeAll(async () => {
  lines = await sourceLines();
});

/** Who calls out over HTTP, and where the address is from. None is from a request. */
const CALLS_OUT: Readonly<Record<string, string>> = {
  "shared/discovery/endpoint.ts":
    "addresses of services, from the configuration, DNS, or announcements that are signed",
  "shared/lifecycle/run.ts": "this service itself",
  "shared/tracing/otlp.ts": "TRACES_URL, and the collector in the configuration",
  "broker/page/browser/account.ts": "in the browser, the page's own origin",
  "broker/page/browser/api.ts": "in the browser, the page's own origin",
  "broker/page/browser/console/api.ts": "in the browser, the page's own origin",
  "broker/page/browser/console/requests.ts": "none: text that is copied, of a call that somebody makes himself",
  "broker/page/browser/console/session.ts": "in the browser, the page's own origin",
  "broker/page/browser/console/stream.ts": "in the browser, the page's own origin",
  "mail/events/post.ts": "WEBHOOK_URLS, of which a redirect is not followed",
  "listener/unrouted.ts": "RABBITMQ_MANAGEMENT_URL",
};

test("[28] no URL of a request is ever fetched: each place that calls out has its address from the configuration", () => {
  const places = new Set(
    lines
      .filter(({ text }) => /(?<![.\w]|async )fetch\(|\bhttps?\.(request|get)\(|new WebSocket\(/.test(text))
      .map(({ file }) => file),
  );
  expect([...places].sort()).toEqual(Object.keys(CALLS_OUT).sort());
  const following = matching(lines, /redirect: "follow"/);
  expect(following).toEqual([]);
});

test("[41] what is secret is compared in constant time", () => {
  // `===` or `!==` beside a word for a secret, unless it is asked whether there is one, or of what type or length it is.
  const compared =
    /\b(\w*(token|secret|signature|digest|mac|apiKey|hash)\w*)\s*[!=]==?\s*(?!undefined|null|"|'|0)\w+|\w+\s*[!=]==?\s*\w*(Token|Secret|Signature|Digest)\b/;
  const found = lines.filter(({ text }) => compared.test(text) && !/typeof|\.length|\.kind|byteLength/.test(text));
  expect(
    found
      .map(({ file, text }) => `${file} ${text.trim()}`)
      .filter((line) => !PUBLIC_COMPARISONS.some((known) => line.startsWith(known))),
  ).toEqual([]);
  const inConstantTime = new Set(lines.filter(({ text }) => /timingSafeEqual\(/.test(text)).map(({ file }) => file));
  for (const file of ["shared/config/secret.ts", "shared/service-keys/callers.ts", "mail/message/unsubscribe.ts"])
    expect(inConstantTime).toContain(file);
});

/** Compared in the open, since both sides are known to whoever asks, or one of them is no secret. */
const PUBLIC_COMPARISONS: readonly string[] = [
  // Of tokens that this function has made itself: whether a step was taken.
  "auth/sessions/refresh.ts if (token !== given)",
  // Of the content of an entry, to tell whether it is the same one.
  "logger/store.ts return holder.content_hash",
  // Of a head and an entry, which both lie in the database, by whoever verifies: nobody is answered how far they are alike.
  "logger/audit/verify.ts if (sequence === known.there.size",
];

test("[42] one cookie is set and read, in one place, and what it is good for takes a header that the page has to send itself", () => {
  const about = /set-cookie|\.cookie\b|headers\.get\("cookie"\)/i;
  const described = ["broker/sessions/cookie.ts", "broker/openapi/sessions.ts", "broker/openapi/parts.ts"];
  expect(matching(lines, about, described)).toEqual([]);
  const [set, ...others] = matching(lines, /Path=/, described.slice(1));
  expect([set?.includes("Path=/v1/sessions; Max-Age=${maxAgeS}; HttpOnly; SameSite=Strict${secure}"), others]).toEqual([
    true,
    [],
  ]);
});

test("[43] no text becomes code, and no RPC frame can make msgpackr compile one", () => {
  expect(matching(lines, /(?<![.\w])eval\(|new Function\(|\bFunction\(|node:vm|setTimeout\("|setInterval\("/)).toEqual(
    [],
  );
  const packrs = lines.filter(({ text }) => /new (Packr|Unpackr|Encoder|Decoder)\(/.test(text));
  expect(packrs.length).toBeGreaterThan(0);
  for (const { file, text } of packrs) expect([file, text.includes("useRecords: false")]).toEqual([file, true]);
});

test("a line that breaks a rule is seen, and a comment is none", async () => {
  const planted = [{ file: "x.ts", number: 1, text: 'new Function("return 1")()' }];
  expect(matching(planted, /new Function\(/)).toEqual(['x.ts:1 new Function("return 1")()']);
  expect(matching(planted, /new Function\(/, ["x.ts"])).toEqual([]);
  expect((await sourceLines()).some(({ text }) => text.includes("Composition root"))).toBe(false);
});
