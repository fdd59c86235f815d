/** Credentials that everybody knows: what servers come with, and what guides and our own development set-up use. */
import { Secret } from "./secret.ts";

/** Passwords that are refused whoever's they are. */
const KNOWN_PASSWORDS = new Set([
  "123456",
  "12345678",
  "admin",
  "changeit",
  "changeme",
  "default",
  "example",
  "guest",
  "letmein",
  "mysecretpassword",
  "password",
  "postgres",
  "qwerty",
  "rabbitmq",
  "redis",
  "root",
  "secret",
  "test",
  "toor",
  "verysecret",
]);

/**
 * Which of `values` are URLs with a password that everybody knows, or that is the user's name: a line each that begins
 * with the variable's name and does not show it. Empty in development.
 */
export function knownCredentials(
  values: Readonly<Record<string, unknown>> & { readonly ENVIRONMENT: "development" | "production" },
): string[] {
  if (values.ENVIRONMENT !== "production") return [];
  return Object.entries(values)
    .filter(([, value]) => value instanceof Secret && isKnown(value.reveal()))
    .map(
      ([name]) =>
        `${name} has a user and password that everybody knows, or is not set and its default has: production needs its own`,
    );
}

/** Whether a URL's password is known. Several hosts after it are no URL by the URL standard: only what is before them is read. */
function isKnown(url: string): boolean {
  const [, user = "", password] = /^[a-z][a-z0-9+.-]*:\/\/([^:@/?#]*):([^@/?#]+)@/i.exec(url) ?? [];
  if (password === undefined) return false;
  const [plainUser, plainPassword] = [decoded(user), decoded(password)].map((text) => text.toLowerCase());
  return plainPassword === plainUser || KNOWN_PASSWORDS.has(plainPassword ?? "");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
