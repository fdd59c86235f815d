/** What counts as one address where addresses are counted. */
import { isIPv6 } from "node:net";

/** Groups of 16 bits that one customer is given whole (RFC 6177: a /64 at least). */
const NETWORK_GROUPS = 4;

/** An IPv4 address itself; of an IPv6 address its /64, written `a:b:c:d::/64`. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const groups = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const missing = tail === undefined ? 0 : Math.max(0, 8 - groups.length - after.length);
  const all = [...groups, ...Array<string>(missing).fill("0"), ...after];
  return `${all
    .slice(0, NETWORK_GROUPS)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
