/** Which service may ask what. Decides; shared/http asks it before anything of a request is read. */
import { createHash, timingSafeEqual } from "node:crypto";
import { SERVICE_KEY_HEADER } from "#contracts/headers";
import { Failure } from "#shared/errors";
import { pathOf, PROBES } from "#shared/http";
import type { KnownCaller } from "./fields.ts";

/**
 * What each caller may ask, by its name: `<method> <path>`, where `:name` is one segment, or `*` for all there is.
 * A caller that is not in it may nothing, whatever key it has.
 */
export type CallerTable = Readonly<Record<string, readonly string[]>>;

export interface Admission {
  /** The service that asks; undefined where none has to show who it is. */
  readonly caller: string | undefined;
  /** Whether what it tells of others (client, actor) is believed. */
  readonly believed: boolean;
}

export interface Callers {
  /** @throws Failure `unauthenticated` without a key that is known, `forbidden` for what that caller may not. */
  admit(request: Request): Admission;
}

/** What operators, probes and verifiers ask: nothing in it is anybody's, and nobody needs a key for it. */
const FREE = new Set([...PROBES, "/.well-known/jwks.json"]);

const STRANGER: Admission = { caller: undefined, believed: false };
const OPEN: Admission = { caller: undefined, believed: true };

/** @param known undefined: anybody may call, and is believed (development). */
export function makeCallers(known: readonly KnownCaller[] | undefined, table: CallerTable): Callers {
  if (known === undefined) return { admit: () => OPEN };
  const keys = known.map(({ name, sha256 }) => ({ name, digest: Buffer.from(sha256, "hex") }));
  const rules = new Map(Object.entries(table).map(([name, routes]) => [name, routes.map(ruleOf)]));

  /** Every key is compared, and each in the same time. */
  function nameOf(given: string): string | undefined {
    const digest = createHash("sha256").update(given).digest();
    let name: string | undefined;
    for (const key of keys) if (timingSafeEqual(key.digest, digest)) name = key.name;
    return name;
  }

  return {
    admit(request) {
      const path = pathOf(request.url);
      const given = request.headers.get(SERVICE_KEY_HEADER);
      const isFree = FREE.has(path) && (request.method === "GET" || request.method === "HEAD");
      if (given === null) {
        if (isFree) return STRANGER;
        throw new Failure("unauthenticated", "this is for services of the platform: a service key is needed");
      }
      const name = nameOf(given);
      const asked = `${request.method} ${path}`;
      if (name !== undefined && rules.get(name)?.some((allows) => allows(asked)) === true)
        return { caller: name, believed: true };
      if (isFree) return STRANGER;
      if (name === undefined) throw new Failure("unauthenticated", "this service key is not known here");
      throw new Failure("forbidden", `${name} may not ask this`);
    },
  };
}

function ruleOf(route: string): (asked: string) => boolean {
  if (route === "*") return () => true;
  const pattern = route.split("/").map((part) => (part.startsWith(":") ? "[^/]+" : RegExp.escape(part)));
  const whole = new RegExp(`^${pattern.join("/")}$`);
  return (asked) => whole.test(asked);
}
