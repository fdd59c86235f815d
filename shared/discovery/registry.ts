/**
 * What announcements say, for those who call: which instances there are. Decides; what is heard comes from RabbitMQ.
 *
 * An announcement is believed where it is signed by a key of the service that it names (SERVICE_ANNOUNCERS), is fresh, and
 * names an address of the kind that the configuration has for that service. Silence is no reason to forget anything: an
 * instance goes when it says so, or when nobody can reach it and the registry, which was there all the time, has not
 * heard of it for a minute either.
 */
import { Announcement, SignedAnnouncement, type RegisteredService } from "#contracts/registry";
import type { Log } from "#shared/log";
import { type KnownAnnouncer, makeAnnouncerCheck } from "#shared/service-keys";
import { makeValidator, parseJson, timeOf } from "#shared/validation";
import { type Endpoint, makeListeners, type Source } from "./endpoint.ts";

/** An announcement is an object of texts in an object. */
const LIMITS = { bytes: 4_096, depth: 3, nodes: 32 };
const MAX_INSTANCES = 64;
/** Announcements that are looked at within a second: a signature costs a tenth of a millisecond. */
const MAX_A_SECOND = 500;
/** How much older or newer than now an announcement may be (ms): clocks differ, and what was said once can be said again by anybody. */
const FRESH_MS = 60_000;
/** Silence of an instance, while the registry is there, after which it may go if it cannot be reached (ms). */
const SILENT_MS = 60_000;
const MAX_GONE = 1_024;

export type Refused = "too_many" | "malformed" | "not_signed" | "stale" | "wrong_url" | "full";

export interface RegistryOptions {
  /** Undefined: whatever is announced is believed (development). */
  readonly announcers: readonly KnownAnnouncer[] | undefined;
  readonly log: Log;
  readonly onRefused?: (reason: Refused) => void;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly wall?: () => number;
  /** Milliseconds of a clock that never steps; default `performance.now`. */
  readonly now?: () => number;
}

export type UrlKind = "url" | "rpc_url";

export interface Registry {
  /** A message as it came. It never throws. */
  hear(body: Uint8Array): void;
  /** From now on everything is heard. */
  up(): void;
  /** Nothing is heard from now on. */
  down(): void;
  /** The instances that have announced themselves, or, while there are none, those of `configured`; those stay as a fallback. */
  source(service: RegisteredService, kind: UrlKind, configured: Source): Source;
  /** How many instances have announced themselves. */
  readonly size: number;
}

interface Known {
  announcement: Announcement;
  /** Its `at`, as ms since 1970. */
  at: number;
  /** When it was last heard of, by `now`. */
  heardAt: number;
}

const signedOf = makeValidator(SignedAnnouncement, { name: "announcement" });
const announcementOf = makeValidator(Announcement, { name: "announcement" });
const encoder = new TextEncoder();

export function makeRegistry(options: RegistryOptions): Registry {
  const { announcers, log, onRefused, wall = Date.now, now = () => performance.now() } = options;
  const isSigned = announcers === undefined ? undefined : makeAnnouncerCheck(announcers);
  const listeners = makeListeners();
  const known = new Map<string, Known>();
  /** Instances that have left, and when they said so: what they said before can be said again by others. */
  const gone = new Map<string, number>();
  /** What an address of a service may begin with, by what its callers have configured. */
  const schemes = new Map<string, Set<string>>();
  const toldOf = new Set<Refused>();
  let upSince: number | undefined;
  let second = 0;
  let looked = 0;

  function refuse(reason: Refused): void {
    onRefused?.(reason);
    if (toldOf.has(reason)) return;
    toldOf.add(reason);
    log.warn("an announcement is not believed: see docs/discovery.md", { reason });
  }

  function read(body: Uint8Array): Announcement | Refused {
    const outer = parseJson(body, LIMITS);
    const signed = outer.ok ? signedOf(outer.value) : outer;
    if (!signed.ok) return "malformed";
    const { announcement: text, signature } = signed.value;
    const inner = parseJson(encoder.encode(text), LIMITS);
    const announcement = inner.ok ? announcementOf(inner.value) : inner;
    if (!announcement.ok) return "malformed";
    const { service } = announcement.value;
    const isTrue = isSigned === undefined || (signature !== undefined && isSigned(service, text, signature));
    return isTrue ? announcement.value : "not_signed";
  }

  /** Scheme, host and port as the configuration has them for this service, and nothing else. */
  function isFit(service: string, kind: UrlKind, text: string): boolean {
    if (!URL.canParse(text)) return false;
    const url = new URL(text);
    const isPlain = url.username === "" && url.password === "" && url.search === "" && url.hash === "";
    const isBare = url.pathname === "" || url.pathname === "/";
    const isWhole = url.hostname !== "" && (url.port !== "" || kind === "url");
    return (
      isPlain &&
      isBare &&
      isWhole &&
      !text.endsWith("/") &&
      schemes.get(`${service} ${kind}`)?.has(url.protocol) === true
    );
  }

  function accept(announcement: Announcement): Refused | undefined {
    const { service, instance, state, url, rpc_url: rpcUrl } = announcement;
    const said = timeOf("at", announcement.at);
    if (!said.ok) return "malformed";
    const at = said.value.getTime();
    if (Math.abs(wall() - at) > FRESH_MS) return "stale";
    const before = known.get(instance);
    // The same again, or something that was overtaken.
    if (at <= Math.max(before?.at ?? 0, gone.get(instance) ?? 0)) return undefined;
    if (before !== undefined && before.announcement.service !== service) return "malformed";
    if (state === "leaving") {
      gone.set(instance, at);
      for (const [id] of gone) if (gone.size > MAX_GONE) gone.delete(id);
      if (known.delete(instance)) listeners.tell();
      return undefined;
    }
    const isHttpWanted = schemes.has(`${service} url`);
    const isRpcWanted = schemes.has(`${service} rpc_url`);
    // Nobody here calls it.
    if (!isHttpWanted && !isRpcWanted) return undefined;
    if (isHttpWanted && !isFit(service, "url", url)) return "wrong_url";
    if (isRpcWanted && rpcUrl !== undefined && !isFit(service, "rpc_url", rpcUrl)) return "wrong_url";
    const ofService = [...known].filter(([, one]) => one.announcement.service === service);
    // A process that was started again at the same place.
    const replaced = ofService.find(([id, one]) => id !== instance && one.announcement.url === url);
    if (replaced !== undefined && replaced[1].at > at) return undefined;
    if (before === undefined && replaced === undefined && ofService.length >= MAX_INSTANCES) return "full";
    if (replaced !== undefined) known.delete(replaced[0]);
    known.set(instance, { announcement, at, heardAt: now() });
    const isNew = before === undefined || before.announcement.url !== url || before.announcement.rpc_url !== rpcUrl;
    if (isNew) listeners.tell();
    return undefined;
  }

  return {
    hear(body) {
      const current = Math.floor(now() / 1_000);
      if (current !== second) [second, looked] = [current, 0];
      looked += 1;
      if (looked > MAX_A_SECOND) return refuse("too_many");
      const announcement = read(body);
      const refused = typeof announcement === "string" ? announcement : accept(announcement);
      if (refused !== undefined) refuse(refused);
    },
    up() {
      upSince = now();
    },
    down() {
      upSince = undefined;
    },
    source(service, kind, configured) {
      const protocols = configured.current().map(({ url }) => new URL(url).protocol);
      const wanted = schemes.get(`${service} ${kind}`) ?? new Set();
      schemes.set(`${service} ${kind}`, new Set([...wanted, ...protocols]));
      const authority = authorityOf(configured);
      const own = makeListeners();
      let endpoints = make();

      function make(): Endpoint[] {
        const announced = [...known.values()].flatMap(({ announcement }): Endpoint[] => {
          const url = announcement[kind];
          if (announcement.service !== service || url === undefined) return [];
          const { instance, version, started_at: startedAt } = announcement;
          const shown = { instance, version, startedAt };
          return [{ url, announced: shown, ...(authority === undefined ? {} : { authority }) }];
        });
        const base = configured.current();
        if (announced.length === 0) return [...base];
        const others = base.filter(({ url }) => !announced.some((one) => one.url === url));
        return [...announced, ...others.map((endpoint) => ({ ...endpoint, isFallback: true }))];
      }
      const update = (): void => {
        endpoints = make();
        own.tell();
      };
      const watching = [listeners.add(update), configured.onChange(update)];
      return {
        current: () => endpoints,
        onChange: (changed) => own.add(changed),
        forget(url) {
          const since = upSince;
          for (const [instance, { announcement, heardAt }] of known) {
            if (announcement[kind] !== url || since === undefined) continue;
            if (now() - Math.max(since, heardAt) < SILENT_MS) continue;
            known.delete(instance);
            listeners.tell();
          }
        },
        [Symbol.dispose]() {
          for (const one of watching) one[Symbol.dispose]();
          configured[Symbol.dispose]();
        },
      };
    },
    get size() {
      return known.size;
    },
  };
}

/** The one name that the service has in the configuration: by it its instances are called, and their certificates verified. */
function authorityOf(configured: Source): string | undefined {
  const names = new Set(configured.current().map(({ url, authority }) => authority ?? new URL(url).host));
  const [name] = names;
  return names.size === 1 && name !== undefined && !/^(\d|\[|localhost\b)/.test(name) ? name : undefined;
}
