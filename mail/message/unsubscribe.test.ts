/** Links to unsubscribe with: only we make them, and they say who leaves what. */
import { expect, test } from "bun:test";
import { Secret } from "#shared/config";
import * as fc from "fast-check";
import { makeUnsubscribe, unsubscribeLinks } from "./unsubscribe.ts";

const secret = new Secret("a secret of thirty-two characters");
const unsubscribe = makeUnsubscribe(secret);
const local = fc.string({
  unit: fc.constantFrom(...Array.from("abcXYZ019!#$%&'*+/=?^_`{|}~-")),
  minLength: 1,
  maxLength: 64,
});
const address = fc
  .tuple(local, fc.constantFrom("example.org", `${"a.".repeat(90)}example`))
  .map((two) => two.join("@"));
const list = fc.string({ unit: fc.constantFrom(...Array.from("abc019._-")), minLength: 1, maxLength: 64 });

test("a token gives back whom and what it was made for, and is fit for a path", () => {
  fc.assert(
    fc.property(address, list, (who, what) => {
      const token = unsubscribe.token(who, what);
      expect(token).toMatch(/^v1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/);
      expect(unsubscribe.verify(token)).toEqual({ ok: true, value: { address: who, list: what } });
      expect(makeUnsubscribe(secret).token(who, what)).toBe(token);
    }),
    { numRuns: 200 },
  );
});

test("the longest address and list fit, and their header is within a line (RFC 5322)", () => {
  const who = `${"a".repeat(64)}@${"b".repeat(185)}.org`;
  expect(who).toHaveLength(254);
  const url = unsubscribe.urlFor(`https://${"h".repeat(253)}`, who, "l".repeat(64));
  expect(unsubscribe.verify(url.slice(url.lastIndexOf("/") + 1)).ok).toBe(true);
  expect(`List-Unsubscribe: <${url}>`.length).toBeLessThan(998);
});

test("a token of which one character is another, is missing or is added, is refused", () => {
  const token = unsubscribe.token("ann@example.org", "news");
  const refused = (text: string): void => {
    const answer = unsubscribe.verify(text);
    expect(answer.ok ? text : answer.error.code).toBe("not_found");
  };
  for (let at = 0; at < token.length; at += 1) {
    refused(token.slice(0, at) + token.slice(at + 1));
    for (const other of "AQgw_-.v") {
      if (token[at] !== other) refused(token.slice(0, at) + other + token.slice(at + 1));
      refused(token.slice(0, at) + other + token.slice(at));
    }
  }
  for (const text of ["", ".", "v1", "v1..", `${token}.`, `${token}=`, `v2${token.slice(2)}`, "é".repeat(600)]) {
    refused(text);
  }
  fc.assert(fc.property(fc.string({ maxLength: 900 }), refused));
});

test("another secret makes other tokens", () => {
  const other = makeUnsubscribe(new Secret("another secret of many characters"));
  expect(other.verify(unsubscribe.token("ann@example.org", "news")).ok).toBe(false);
});

test("links lead to the broker as the world reaches it", () => {
  const links = unsubscribeLinks("https://api.example.com", secret);
  expect(links.ready.ok).toBe(true);
  const url = links.urlFor("ann@example.org", "news");
  expect(url).toBe(`https://api.example.com/v1/unsubscribe/${unsubscribe.token("ann@example.org", "news")}`);
  expect(links.verify(url?.slice(url.lastIndexOf("/") + 1) ?? "").ok).toBe(true);
});

test.each([
  [undefined, undefined],
  ["https://api.example.com", undefined],
  [undefined, secret],
])("with URL %p and secret %p there are no links, and mails to a list are refused in words", (url, given) => {
  const links = unsubscribeLinks(url, given);
  expect(links.ready).toMatchObject({
    ok: false,
    error: { code: "invalid", message: "list needs PUBLIC_URL and UNSUBSCRIBE_SECRET at the mail service" },
  });
  expect(links.urlFor("ann@example.org", "news")).toBeUndefined();
  expect(links.verify(unsubscribe.token("ann@example.org", "news"))).toMatchObject({ error: { code: "not_found" } });
});
