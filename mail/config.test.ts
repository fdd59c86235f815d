/** What the mail service asks of its configuration. */
import { expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Environment, loadConfig } from "#shared/config";
import { dkimOptionsOf, fields, problemsOf } from "./config.ts";

const configOf = (env: Environment) => loadConfig("mail", fields, env, problemsOf);
const pem = generateKeyPairSync("rsa", {
  modulusLength: 2_048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
}).privateKey;

function refusalOf(env: Environment): string {
  try {
    configOf(env);
  } catch (error) {
    return String(error);
  }
  return "none";
}

test("mails are not signed unless it is asked for", () => {
  expect(dkimOptionsOf(configOf({}))).toBeUndefined();
});

test("they are signed with a key and a selector, by the domain of the mail service or another", () => {
  const env = { DKIM_PRIVATE_KEY: pem, DKIM_SELECTOR: "mail2026", MAIL_DOMAIN: "mail.example.com" };
  expect(dkimOptionsOf(configOf(env))).toMatchObject({ selector: "mail2026", domain: "mail.example.com" });
  const options = dkimOptionsOf(configOf({ ...env, MAIL_DKIM_DOMAIN: "example.com" }));
  expect(options?.domain).toBe("example.com");
  expect(options?.privateKey.reveal()).toBe(pem);
  expect(JSON.stringify(options)).not.toContain("PRIVATE");
});

test("the key may be a file", () => {
  const directory = mkdtempSync(join(tmpdir(), "dkim-"));
  try {
    const path = join(directory, "key.pem");
    writeFileSync(path, pem);
    expect(dkimOptionsOf(configOf({ DKIM_PRIVATE_KEY_FILE: path, DKIM_SELECTOR: "s" }))).toBeDefined();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.each([
  [{ DKIM_SELECTOR: "s" }, "DKIM_PRIVATE_KEY is missing"],
  [{ DKIM_DOMAIN: "example.com" }, "DKIM_PRIVATE_KEY is missing"],
  [{ DKIM_PRIVATE_KEY: pem }, "DKIM_SELECTOR is missing"],
  [{ DKIM_PRIVATE_KEY: "-----BEGIN-----", DKIM_SELECTOR: "s" }, "DKIM_PRIVATE_KEY must be an RSA private key"],
  [{ DKIM_PRIVATE_KEY: pem, DKIM_SELECTOR: "a b" }, "DKIM_SELECTOR must be"],
  [{ UNSUBSCRIBE_SECRET: "x".repeat(32) }, "PUBLIC_URL is missing"],
  [{ PUBLIC_URL: "https://a.example", UNSUBSCRIBE_SECRET: "short" }, "UNSUBSCRIBE_SECRET must be text of at least 32"],
  [{ PUBLIC_URL: "ftp://a.example" }, "PUBLIC_URL must be"],
])("what does not go together is one problem, case %#", (env, problem) => {
  const refusal = refusalOf(env);
  expect(refusal).toContain(`  ${problem}`);
  expect(refusal.trim().split("\n")).toHaveLength(2);
  for (const secret of [pem.slice(40, 80), "short", "BEGIN"]) expect(refusal).not.toContain(secret);
});

test("links to unsubscribe with need a secret and where they lead", () => {
  const config = configOf({ PUBLIC_URL: "https://api.example.com/", UNSUBSCRIBE_SECRET: "x".repeat(32) });
  expect(config.PUBLIC_URL).toBe("https://api.example.com");
});
