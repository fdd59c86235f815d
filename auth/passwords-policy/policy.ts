/**
 * Which passwords may be chosen (NIST SP 800-63B §5.1.1.2, OWASP ASVS 5.0 6.2): at least 8 characters, which the contracts
 * say, none of the most common ones, and not the user's own address. No rule about what characters it is made of.
 */
import { fail, ok, type Result } from "#shared/errors";
import common from "./common-passwords.txt" with { type: "text" };

const COMMON = new Set(common.trimEnd().split("\n"));

/** One spelling of what people take for the same: without regard to case and to the width of letters. */
const plain = (text: string): string => text.normalize("NFKC").toLowerCase().trim();

/**
 * Looked at before a new password is hashed; one that is there already is never refused by it.
 * @param field how the password is called in the message. @param email of the user whose password it is to be.
 * @returns failure `invalid`.
 */
export function checkNewPassword(field: string, password: string, email: string): Result<void> {
  const chosen = plain(password);
  if (COMMON.has(chosen)) return fail("invalid", `${field} is one of the most common ones: choose another one`);
  const address = plain(email);
  if (chosen === address || chosen === address.slice(0, address.lastIndexOf("@"))) {
    return fail("invalid", `${field} must not be the address`);
  }
  return ok();
}
