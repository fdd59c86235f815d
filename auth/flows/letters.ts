/** The mails of auth, as requests to the mail service: templates of mail/templates, their versions named since others may ask for other variables. */
import type { MailMessage } from "#contracts/mail";

export type LinkPurpose = "verify_address" | "reset_password";

/** Life of the links (ms). */
export const LINK_LIFE_MS: Readonly<Record<LinkPurpose, number>> = {
  verify_address: 3 * 86_400_000,
  reset_password: 3_600_000,
};

/** What a mail needs besides whom it is for. */
export interface Letterhead {
  /** One plain address. */
  readonly from: string;
  /** Where people reach the platform, without a slash at its end. */
  readonly publicUrl: string;
}

/** The page of each link. The token is in the fragment, which is in no log and no `Referer` (RFC 3986 §3.5). */
const PAGE: Readonly<Record<LinkPurpose, string>> = {
  verify_address: "verify-address",
  reset_password: "reset-password",
};

export function linkLetter(
  { from, publicUrl }: Letterhead,
  purpose: LinkPurpose,
  to: string,
  token: string,
): MailMessage {
  const url = `${publicUrl}/${PAGE[purpose]}#token=${token}`;
  const expires_minutes = LINK_LIFE_MS[purpose] / 60_000;
  return purpose === "verify_address"
    ? letter(from, to, "verify-address", { address: to, verify_url: url, expires_minutes })
    : letter(from, to, "reset-password", { address: to, reset_url: url, expires_minutes });
}

export interface SignIn {
  /** RFC 3339. */
  readonly at: string;
  /** An IP address. */
  readonly ip?: string;
  /** In words, of letters and digits: the template takes nothing that can look like a link. */
  readonly device?: string;
}

export function signInLetter({ from, publicUrl }: Letterhead, to: string, signIn: SignIn): MailMessage {
  return letter(from, to, "new-sign-in", { address: to, ...signIn, sessions_url: `${publicUrl}/sessions` });
}

export type AccountChange = "password" | "address";

/** Its link has no token: it leads to where a new password is asked for, or, where the account has another address now, to the platform. */
export function accountLetter(
  { from, publicUrl }: Letterhead,
  to: string,
  change: AccountChange,
  at: string,
): MailMessage {
  const url = `${publicUrl}/${change === "password" ? PAGE.reset_password : ""}`;
  return letter(from, to, "account-changed", { address: to, change, at, url });
}

function letter(from: string, to: string, name: string, variables: Record<string, unknown>): MailMessage {
  return { from, to, template: { name, version: 1, locale: "en", variables }, priority: "high" };
}
