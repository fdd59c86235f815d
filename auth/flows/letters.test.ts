/** The mails of auth against the templates of the mail service, as both are in this repository. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { type Schema, Validator } from "@cfworker/json-schema";
import { MailMessage } from "#contracts/mail";
import { makeValidator } from "#shared/validation";
import { accountLetter, linkLetter, signInLetter } from "./letters.ts";

const from = { from: "hello@app.example.com", publicUrl: "https://app.example.com/platform" };
const TO = "ann@example.com";
const TOKEN = "t".repeat(43);
const messageOf = makeValidator(MailMessage, { unknown: "refuse" });

test.each([
  ["verify-address", linkLetter(from, "verify_address", TO, TOKEN)],
  ["reset-password", linkLetter(from, "reset_password", TO, TOKEN)],
  [
    "new-sign-in",
    signInLetter(from, TO, { at: "2026-01-31T12:00:00Z", ip: "203.0.113.7", device: "Chrome on Windows" }),
  ],
  ["new-sign-in", signInLetter(from, TO, { at: new Date().toISOString() })],
  ["account-changed", accountLetter(from, TO, "password", new Date().toISOString())],
  ["account-changed", accountLetter(from, TO, "address", new Date().toISOString())],
])("%s: a mail that the mail service takes, with the variables that its template has", async (name, letter) => {
  expect(messageOf(letter).ok).toBe(true);
  expect(letter.template).toMatchObject({ name, version: 1 });
  const file = Bun.file(join(import.meta.dir, `../../mail/templates/${name}/1/template.json`));
  const { schema } = (await file.json()) as { schema: Schema };
  expect(new Validator(schema, "2020-12").validate(letter.template?.variables)).toMatchObject({ valid: true });
});

test("a mail about a change leads to where a new password is asked for, or to the platform: with no token", () => {
  const urls = (["password", "address"] as const).map(
    (change) => accountLetter(from, TO, change, new Date().toISOString()).template?.variables?.["url"],
  );
  expect(urls).toEqual(["https://app.example.com/platform/reset-password", "https://app.example.com/platform/"]);
});

test("the token is in the fragment of the link: in no log on its way", () => {
  const { verify_url } = linkLetter(from, "verify_address", TO, TOKEN).template?.variables ?? {};
  const url = new URL(String(verify_url));
  expect([url.pathname, url.search, url.hash]).toEqual(["/platform/verify-address", "", `#token=${TOKEN}`]);
});
