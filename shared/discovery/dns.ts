/** Instances by DNS: a name of several addresses (compose's `--scale`, a headless service of Kubernetes) is as many instances. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { messageOf } from "#shared/errors";
import type { Log } from "#shared/log";
import { makeBell } from "#shared/resilience";
import { type Endpoint, makeListeners, type Source } from "./endpoint.ts";

/** How often names are looked up (ms): an instance that was added is in use that much later. */
const EVERY_MS = 1_000;
/** Longest that one look-up is waited for (ms). */
const WITHIN_MS = 2_000;
/** How long an address is kept that answers do not name any more (ms): servers that know many give some of them at a time. */
const KEPT_MS = 5_000;
const MAX_ADDRESSES = 64;

/** @returns the addresses of a name; an empty list or a rejection says nothing of those that are known. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/** As the system resolves names, its search domains and hosts file included; where there are both, IPv4 only, since each instance has one of either. */
export const systemResolve: Resolve = async (host) => {
  const found = await lookup(host, { all: true });
  const family = found.some((one) => one.family === 4) ? 4 : 6;
  return found.filter((one) => one.family === family).map(({ address }) => address);
};

export interface DnsOptions {
  readonly log: Log;
  /** Default: as the system does. */
  readonly resolve?: Resolve;
  readonly everyMs?: number;
  readonly withinMs?: number;
  readonly keptMs?: number;
}

interface Name {
  readonly url: string;
  readonly host: string;
  readonly authority: string;
  /** By address: when an answer last named it. */
  readonly seen: Map<string, number>;
  asking: boolean;
  failed: boolean;
}

/** A name that DNS tells of: neither an address nor this machine. */
function nameOf(url: string): Name | undefined {
  const { hostname, host } = new URL(url);
  const isLocal = hostname === "localhost" || hostname.endsWith(".localhost");
  if (isLocal || isIP(hostname.replace(/^\[|\]$/g, "")) !== 0) return undefined;
  // Neither is a port left out for tcp and tls.
  return { url, host: hostname, authority: host, seen: new Map(), asking: false, failed: false };
}

/** The instances behind `urls`; one whose host is no name is one instance. A look-up that fails leaves what is known as it is. */
export function resolved(urls: readonly string[], options: DnsOptions): Source {
  const { log, resolve = systemResolve, everyMs = EVERY_MS, withinMs = WITHIN_MS, keptMs = KEPT_MS } = options;
  const listeners = makeListeners();
  const places = urls.map((url) => nameOf(url) ?? url);
  const names = places.filter((place) => typeof place !== "string");
  const bell = makeBell();
  const closing = new AbortController();
  let endpoints: readonly Endpoint[] = urls.map((url) => ({ url }));

  async function look(name: Name): Promise<void> {
    // A resolver that hangs is asked once, not once a second.
    if (name.asking) return;
    name.asking = true;
    const asked = (async () => await resolve(name.host))().finally(() => {
      name.asking = false;
    });
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(`no answer within ${withinMs} ms`)), withinMs);
    try {
      const found = await Promise.race([asked, late.promise]);
      if (found.length === 0) throw new Error("no address");
      const now = performance.now();
      for (const address of found.slice(0, MAX_ADDRESSES)) name.seen.set(address, now);
      for (const [address, at] of name.seen) if (now - at > keptMs) name.seen.delete(address);
      name.failed = false;
    } catch (error) {
      // Whatever comes of it later is over.
      asked.catch(() => undefined);
      if (!name.failed) log.warn("a name is not resolved", { host: name.host, reason: messageOf(error) });
      name.failed = true;
    } finally {
      clearTimeout(timer);
    }
  }

  function update(): void {
    const next = places.flatMap((place) => (typeof place === "string" ? [{ url: place }] : instancesOf(place)));
    const isSame = next.length === endpoints.length && next.every(({ url }, index) => url === endpoints[index]?.url);
    if (isSame) return;
    endpoints = next.slice(0, MAX_ADDRESSES);
    listeners.tell();
  }

  async function keepLooking(): Promise<void> {
    while (!closing.signal.aborted) {
      await Promise.all(names.map(look));
      if (closing.signal.aborted) return;
      update();
      await bell.wait(everyMs);
    }
  }
  if (names.length > 0) void keepLooking();

  return {
    current: () => endpoints,
    onChange: (changed) => listeners.add(changed),
    [Symbol.dispose]() {
      closing.abort();
      bell.ring();
    },
  };
}

/** In the order of the addresses, whatever the order of an answer. */
function instancesOf({ url, authority, seen }: Name): Endpoint[] {
  if (seen.size === 0) return [{ url }];
  const { protocol, port } = new URL(url);
  return [...seen.keys()].sort().map((address) => ({
    url: `${protocol}//${address.includes(":") ? `[${address}]` : address}${port === "" ? "" : `:${port}`}`,
    authority,
  }));
}
