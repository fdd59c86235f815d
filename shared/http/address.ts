/**
 * The address of a client, which proxies of ours stand in front of. What a request says of its way is believed only as far
 * as the hops that said it are trusted: from the right, where the nearest proxy writes, to the first that is not one of ours.
 */
import { BlockList, isIP } from "node:net";
import type { Field } from "#shared/config";
import { type Peers, socketAddressOf } from "./door.ts";

const UNKNOWN = "unknown";
/** Hops that are looked at: a longer way is nobody's. */
const MAX_HOPS = 20;

/** One header is read, the one that our proxies write: of another, all of it would be the client's. */
const FORWARDED_HEADERS = ["x-forwarded-for", "forwarded"] as const;
export type ForwardedHeader = (typeof FORWARDED_HEADERS)[number];

/** Addresses of proxies of ours. */
export interface TrustedProxies {
  has(address: string): boolean;
}

function family(address: string): "ipv4" | "ipv6" | undefined {
  const version = isIP(address);
  return version === 4 ? "ipv4" : version === 6 && !address.includes("%") ? "ipv6" : undefined;
}

/** @returns undefined where one of them is neither an address nor a range (CIDR, RFC 4632). */
export function trustedProxies(ranges: readonly string[]): TrustedProxies | undefined {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", bits, more] = range.split("/");
    const type = family(address);
    const most = type === "ipv4" ? 32 : 128;
    if (type === undefined || more !== undefined || (bits !== undefined && !/^\d{1,3}$/.test(bits))) return undefined;
    const length = bits === undefined ? most : Number(bits);
    if (length > most) return undefined;
    list.addSubnet(address, length, type);
  }
  return {
    has(address) {
      const type = family(address);
      return type !== undefined && list.check(address, type);
    },
  };
}

/** What every service that has to know its clients' addresses reads. */
export const proxyFields = {
  TRUSTED_PROXIES: {
    about:
      "Addresses of the proxies in front, whose word on the client's address is taken. Default: none, whatever a request says of its way is ignored",
    allowed: "a comma-separated list of addresses and ranges such as 10.0.0.0/8,fd00::/8,192.0.2.7",
    default: "",
    required: false,
    secret: false,
    parse: (text) =>
      trustedProxies(
        text
          .split(",")
          .map((part) => part.trim())
          .filter((part) => part !== ""),
      ),
  } satisfies Field<TrustedProxies>,
  FORWARDED_HEADER: {
    about:
      "The header in which those proxies say so. They have to set it or to add to it, never to pass it on as it is",
    allowed: `one of ${FORWARDED_HEADERS.join(", ")}`,
    default: "x-forwarded-for",
    required: false,
    secret: false,
    parse: (text) => FORWARDED_HEADERS.find((name) => name === text),
  } satisfies Field<ForwardedHeader>,
};

/** An address as we write it everywhere: without port, zone and brackets, lower case, IPv4 in IPv6 as IPv4; undefined for what is none. */
export function plainAddress(text: string): string | undefined {
  const inner = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? text;
  const address = inner.replace(/%.*$/s, "").toLowerCase();
  const version = isIP(address);
  if (version === 0) return undefined;
  if (version === 4) return address;
  // The shortest form (RFC 5952), as the URL standard writes it.
  const short = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short);
  if (mapped === null) return short;
  const [high, low] = [Number.parseInt(mapped[1] ?? "", 16), Number.parseInt(mapped[2] ?? "", 16)];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/** `for=` of each hop (RFC 7239 §4), from the client to the nearest proxy; text that is no such list is one hop that is no address. */
function hopsOf(header: ForwardedHeader, value: string): string[] {
  const hops = value.split(",").map((part) => part.trim());
  if (header === "x-forwarded-for") return hops;
  return hops.map((hop) => /(?:^|;)\s*for="?([^";]*)"?\s*(?:;|$)/i.exec(hop)?.[1] ?? "");
}

/** What of a handler's context tells where a request comes from. */
export interface AddressedCall {
  readonly request: Request;
  readonly server: Peers | null;
}

export type ClientAddress = (call: AddressedCall) => string;

export interface AddressOptions {
  readonly TRUSTED_PROXIES: TrustedProxies;
  readonly FORWARDED_HEADER: ForwardedHeader;
}

/**
 * @param options absent: no proxy is trusted.
 * @returns tells the address of a request's client: the nearest hop that is no proxy of ours, or the last proxy, where
 * what it says is no address. `unknown` where the connection has none (a socket of this machine, one that is gone).
 */
export function makeClientAddress(options?: AddressOptions): ClientAddress {
  return ({ request, server }) => {
    let address = plainAddress(socketAddressOf(request, server) ?? "");
    if (address === undefined) return UNKNOWN;
    if (options === undefined || !options.TRUSTED_PROXIES.has(address)) return address;
    const { TRUSTED_PROXIES, FORWARDED_HEADER } = options;
    const hops = hopsOf(FORWARDED_HEADER, request.headers.get(FORWARDED_HEADER) ?? "");
    for (const hop of hops.toReversed().slice(0, MAX_HOPS)) {
      const next = plainAddress(hop);
      if (next === undefined) return address;
      address = next;
      if (!TRUSTED_PROXIES.has(address)) return address;
    }
    return address;
  };
}

/**
 * What is limited as one: an IPv4 address, or the /64 of an IPv6 address, since whoever has one such has 2^64 of them
 * (RFC 6177).
 */
export function addressGroup(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - before.length - after.length }, () => "0");
  return `${[...before, ...zeros, ...after].slice(0, 4).join(":")}::/64`;
}
