/**
 * One for a process (and one for each of its threads that calls others), as the system's own store of certificates is:
 * whatever opens a connection asks here, so that none can forget to.
 */
import { isDeepStrictEqual } from "node:util";
import type { Log } from "#shared/log";
import { type ClientTls, type Material, PLAIN, readMaterial, type TlsFiles } from "./material.ts";

/** How often files are looked at (ms). Reading them tells of every way to replace them, a mounted secret's among it. */
const LOOK_MS = 2_000;
/** An end of the own certificate that is nearer than this is told of, once a day (ms). */
const SOON_MS = 7 * 86_400_000;
const DAY_MS = 86_400_000;

let current: Material = PLAIN;
const listeners = new Set<() => void>();

/** Ask anew for each connection: it changes. */
export function currentTls(): Material {
  return current;
}

/** For `fetch`: whom to trust, and what to show. */
export function outgoingTls(): { tls?: ClientTls } {
  return current.client === undefined ? {} : { tls: current.client };
}

/** `options` for a driver that copies them for each connection: whom to trust and what to show is asked anew each time. */
export function liveTls<T extends object>(options: T): T & { readonly [K in keyof ClientTls]?: string | undefined } {
  return Object.defineProperties(
    { ...options },
    {
      ca: { enumerable: true, get: () => current.client?.ca },
      cert: { enumerable: true, get: () => current.client?.cert },
      key: { enumerable: true, get: () => current.client?.key },
    },
  );
}

/** Calls `changed` after what the files hold has changed, and fits together; where it throws, again at the next look. */
export function onTlsChange(changed: () => void): Disposable {
  listeners.add(changed);
  return { [Symbol.dispose]: () => void listeners.delete(changed) };
}

/**
 * Reads `files` now, and whenever they change from then on. New files that do not fit together (a certificate whose key
 * is still to come, say) are left alone: what was read before stays in use. Disposing goes back to plain.
 * @throws Error where they cannot be used now; `tlsProblemsOf` tells that before.
 */
export function useTls(files: TlsFiles, log: Log, { lookMs = LOOK_MS }: { lookMs?: number } = {}): Disposable {
  const first = readMaterial(files);
  if ("problems" in first) throw new Error(`useTls: ${first.problems.join("; ")}`);
  current = first.material;
  if (Object.values(files).every((file) => file === undefined)) return { [Symbol.dispose]: () => undefined };

  let refused = "";
  let behind: (() => void)[] = [];
  let toldAt = Number.NEGATIVE_INFINITY;
  const tellOfEnd = (): void => {
    const { notAfter } = current;
    if (notAfter === undefined || notAfter.getTime() - Date.now() > SOON_MS || Date.now() - toldAt < DAY_MS) return;
    toldAt = Date.now();
    log.warn("the TLS certificate ends soon, or has ended: renew it", { not_after: notAfter.toISOString() });
  };
  /** Those that could not take what is in use now (no descriptor left, say) serve on with what was before. */
  const tell = (): void => {
    behind = behind.filter((changed) => {
      if (!listeners.has(changed)) return false;
      try {
        changed();
        return false;
      } catch (error) {
        log.error("new TLS files are not in use everywhere: tried again", { error });
        return true;
      }
    });
  };
  const look = (): void => {
    tellOfEnd();
    tell();
    const read = readMaterial(files);
    if ("problems" in read) {
      const why = read.problems.join("; ");
      if (why !== refused) log.warn("changed TLS files cannot be used, those of before stay in use", { reason: why });
      refused = why;
      return;
    }
    refused = "";
    if (isDeepStrictEqual(read.material, current)) return;
    current = read.material;
    log.info("TLS files have changed, and are in use", { not_after: current.notAfter?.toISOString() });
    behind = [...listeners];
    tell();
  };
  tellOfEnd();
  const timer = setInterval(look, lookMs);
  timer.unref();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      current = PLAIN;
    },
  };
}
