/** Secrets that are told apart from everything else, and the search for them. */
import { generateKeyPairSync } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Environment, Fields } from "#shared/config";
import { fields as auth } from "../../auth/config.ts";
import { fields as broker } from "../../broker/config.ts";
import { fields as listener } from "../../listener/config.ts";
import { fields as logger } from "../../logger/config.ts";
import { fields as mail } from "../../mail/config.ts";
import type { ServiceName } from "../../dev/services.ts";

export const FIELDS: Readonly<Record<ServiceName, Fields>> = { auth, broker, listener, logger, mail };

/** Letters and digits only: the same in a URL, in JSON, in a header and in a pattern. */
export function canary(): string {
  return `canary${Buffer.from(crypto.getRandomValues(new Uint8Array(14))).toString("hex")}`;
}

/** What is looked for: the secret, and how it looks where somebody encoded it. */
function looksOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  // In the middle of other bytes base64 depends on where it begins: what is left of it where its ends are cut off.
  const shifted = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString("base64")
      .replaceAll("=", "");
    return text.slice(before === 0 ? 0 : 4, -4);
  });
  return [
    secret,
    bytes.toString("hex"),
    ...shifted,
    ...shifted.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
  ];
}

/** Secrets that are out, each with what it is. */
export class Canaries {
  readonly #planted = new Map<string, string>();

  /** @returns the secret itself. */
  plant(what: string, secret = canary()): string {
    this.#planted.set(secret, what);
    return secret;
  }

  get size(): number {
    return this.#planted.size;
  }

  /** Which are in `text`: what they are, and some of what is around them. */
  in(text: string): string[] {
    const found: string[] = [];
    for (const [secret, what] of this.#planted) {
      for (const look of looksOf(secret)) {
        const at = text.indexOf(look);
        if (at >= 0) found.push(`${what}: …${text.slice(Math.max(0, at - 60), at)}‹${look}›`);
      }
    }
    return found;
  }
}

const WORDS = 32;
/** Secrets that are no free text. */
const SHAPED: Readonly<Record<string, (canaries: Canaries) => string>> = {
  DKIM_PRIVATE_KEY(canaries) {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2_048 });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    // A line of it: a PEM as a whole is found nowhere, however it leaks.
    canaries.plant("DKIM_PRIVATE_KEY", pem.split("\n")[10] ?? "");
    return pem;
  },
  OTEL_EXPORTER_OTLP_HEADERS: (canaries) => `api-key=${canaries.plant("OTEL_EXPORTER_OTLP_HEADERS")}`,
  WEBHOOK_SECRET: (canaries) =>
    `whsec_${Buffer.from(canaries.plant("WEBHOOK_SECRET", canary().slice(0, WORDS))).toString("base64")}`,
  WEBHOOK_URLS: (canaries) =>
    `http://hooks:${canaries.plant("WEBHOOK_URLS")}@127.0.0.1:9/?key=${canaries.plant("the query of WEBHOOK_URLS")}`,
};

/** Whether a secret is the URL of a server that a service needs. */
export const isUrl = (name: string): boolean => name.endsWith("_URL");

/**
 * A value with a canary in it for every secret that is no URL of a server, under the plain name: the same for all services.
 * @throws where a secret has a shape that is not known here: a new one is planted before it can leak.
 */
export function plantedEnvironment(canaries: Canaries): Record<string, string> {
  const planted: Record<string, string> = {};
  for (const [service, fields] of Object.entries(FIELDS)) {
    for (const [name, field] of Object.entries(fields)) {
      if (!field.secret || isUrl(name) || name in planted) continue;
      planted[name] = SHAPED[name]?.(canaries) ?? canaries.plant(name);
      if (field.parse(planted[name]) === undefined) throw new Error(`${service}: ${name} needs a value in SHAPED`);
    }
  }
  return planted;
}

/** A URL with a canary for its password, for every server that `service` needs, as `where` tells its address. */
export function plantedUrls(
  service: ServiceName,
  canaries: Canaries,
  where: (name: string, scheme: string) => string,
): Environment {
  const planted: Record<string, string> = {};
  for (const [name, field] of Object.entries(FIELDS[service])) {
    if (!field.secret || !isUrl(name)) continue;
    const scheme = /([a-z][a-z0-9+]*):\/\//.exec(field.allowed)?.[1] ?? "";
    planted[name] = `${scheme}://canary:${canaries.plant(`${service}'s ${name}`)}@${where(name, scheme)}`;
    if (field.parse(planted[name]) === undefined) throw new Error(`${service}: ${name} is no URL that is known here`);
  }
  return planted;
}

/** The text of all files below `directory`, by their path; nothing where it is not there. */
export async function filesBelow(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  for (const name of names) {
    const path = join(directory, name);
    if ((await stat(path)).isFile()) found.set(path, await readFile(path, "latin1"));
  }
  return found;
}
