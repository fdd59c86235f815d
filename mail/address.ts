/** What the contract's pattern cannot say of an address. */
import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import type { MailRequest } from "#contracts/mail";
import { fail, ok, type Result } from "#shared/errors";

/**
 * Whether the domain means itself and nothing else. `02` is the host 0.0.0.2 to some readers, and `xn--` may stand
 * before what is no Punycode: the library that writes our headers would put something else in their place.
 */
function isItself(address: string): boolean {
  const domain = address.slice(address.lastIndexOf("@") + 1);
  return domainToASCII(domain) === domain.toLowerCase() && isIP(domain) === 0;
}

/** A mail whose addresses are read alike by everybody. @returns failure `invalid` that names the field. */
export function withPlainAddresses(mail: MailRequest): Result<MailRequest> {
  for (const field of ["from", "to"] as const) {
    if (!isItself(mail[field])) return fail("invalid", `${field} must be one plain e-mail address`);
  }
  return ok(mail);
}
