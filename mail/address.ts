/** What the contract's pattern cannot say of an address, and whom a mail may be from and to by configuration. */
import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { fail, ok, type Result } from "#shared/errors";

/** An address of a request, and the name of its field. */
export interface NamedAddress {
  readonly address: string;
  /** E.g. `to`, or `cc[1]`. */
  readonly field: string;
}

/**
 * Whether the domain means itself and nothing else. `02` is the host 0.0.0.2 to some readers, and `xn--` may stand
 * before what is no Punycode: the library that writes our headers would put something else in their place.
 */
function isItself(address: string): boolean {
  const domain = address.slice(address.lastIndexOf("@") + 1);
  return domainToASCII(domain) === domain.toLowerCase() && isIP(domain) === 0;
}

/** Addresses that are read alike by everybody. @returns failure `invalid` that names the first field that is none. */
export function plainAddresses(addresses: Iterable<NamedAddress>): Result<void> {
  for (const { address, field } of addresses) {
    if (!isItself(address)) return fail("invalid", `${field} must be one plain e-mail address`);
  }
  return ok();
}

/** The same mailbox (RFC 5321 §2.4): the case of the domain means nothing, that of the local part may. */
export function mailboxOf(address: string): string {
  const at = address.lastIndexOf("@");
  return address.slice(0, at) + address.slice(at).toLowerCase();
}

/** Of one allowed sender or recipient: `*` for all, `@domain` (not those below it), or an address. */
export const ALLOWED_PATTERN = /^(\*|[^@\s,]*@[^@\s,]+)$/;

/** Whether an address is on a list of `ALLOWED_PATTERN`s, in whatever case. */
export function makeAllowed(allowed: readonly string[]): (address: string) => boolean {
  const entries = new Set(allowed.map((entry) => entry.toLowerCase()));
  return (address) => {
    const lower = address.toLowerCase();
    return entries.has("*") || entries.has(lower) || entries.has(lower.slice(lower.lastIndexOf("@")));
  };
}
