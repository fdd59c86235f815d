/** The user that a developer's machine has, whose password everybody knows. */
import type { Credentials } from "#contracts/auth";

export const DEVELOPMENT_USER = { email: "admin@example.com", password: "verysecret" } as const;

/** Whether somebody tries to log in as him, by his password: in production that is let in nowhere. */
export function isDevelopmentUser({ email, password }: Credentials): boolean {
  return email.trim().toLowerCase() === DEVELOPMENT_USER.email && password === DEVELOPMENT_USER.password;
}
