/** One instance of a service as its callers see it, and a request to exactly that one. */
import { isIP } from "node:net";
import { outgoingTls } from "#shared/tls";

export interface Endpoint {
  /** Where to connect to, without a slash at its end; its identity among the instances of its service. */
  readonly url: string;
  /**
   * The service's name and port as configured, where `url` has an address in its place: the `Host` of requests, and by
   * its name the certificate is verified.
   */
  readonly authority?: string;
  /** What it said of itself, where it announced itself. */
  readonly announced?: { readonly instance: string; readonly version: string; readonly startedAt: string };
  /** From the configuration, while others have announced themselves: for when none of these can be reached. */
  readonly isFallback?: boolean;
}

/** Where the instances of one service are, at any time. */
export interface Source extends Disposable {
  /** Never empty: at the least what the configuration says. */
  current(): readonly Endpoint[];
  onChange(changed: () => void): Disposable;
  /** This one cannot be reached, and has not been for a while: may it go? */
  forget?(url: string): void;
}

/** `node:crypto` and Bun verify a certificate by this name; undefined: by the host of the URL. */
export function serverNameOf({ authority }: Endpoint): string | undefined {
  if (authority === undefined) return undefined;
  const { hostname } = new URL(`http://${authority}`);
  return isIP(hostname.replace(/^\[|\]$/g, "")) === 0 ? hostname : undefined;
}

/** A request to this instance and no other. @param path begins with a slash. */
export function fetchAt(
  endpoint: Endpoint,
  path: string,
  init: Omit<RequestInit, "headers"> & { readonly headers: Record<string, string> },
): Promise<Response> {
  const { url, authority } = endpoint;
  if (authority === undefined) return fetch(`${url}${path}`, { ...init, ...outgoingTls() });
  const serverName = serverNameOf(endpoint);
  const isSecure = url.startsWith("https:") && serverName !== undefined;
  const tls = isSecure ? { tls: { ...outgoingTls().tls, serverName } } : outgoingTls();
  return fetch(`${url}${path}`, { ...init, headers: { ...init.headers, host: authority }, ...tls });
}

/** Instances that stay what they are. */
export function fixed(given: readonly (string | Endpoint)[]): Source {
  const endpoints = given.map((one) => (typeof one === "string" ? { url: one } : one));
  const nothing = { [Symbol.dispose]: () => undefined };
  return { current: () => endpoints, onChange: () => nothing, ...nothing };
}

/** Who wants to be told of changes; each is told, whatever another one does. */
export function makeListeners(): { add(changed: () => void): Disposable; tell(): void } {
  const all = new Set<() => void>();
  return {
    add(changed) {
      // A function of its own for each, so that the same one given twice is two.
      const own = (): void => changed();
      all.add(own);
      return { [Symbol.dispose]: () => void all.delete(own) };
    },
    tell() {
      for (const changed of all) changed();
    },
  };
}
