/** Keys in the configuration: what a service sends, and whom it knows. */
import { createHash, randomBytes } from "node:crypto";
import { type Field, Secret } from "#shared/config";

/** Another service that may call, by the SHA-256 of its key (hex): the key itself is the caller's alone. */
export interface KnownCaller {
  readonly name: string;
  readonly sha256: string;
}

/** What can be a header and cannot be guessed. */
const KEY = /^[\w-]{32,256}$/;
const CALLER = /^([a-z][a-z0-9-]{0,62}):([0-9a-f]{64})$/;
/** A caller has two while one takes the other's place. */
const MAX_CALLERS = 64;
const MIN_TOKEN = 32;

export const serviceKeyField: Field<Secret | undefined> = {
  about:
    "Key that shows other services who is calling; they know it by SERVICE_CALLERS. Production needs one (bun run service-key)",
  allowed: "32 to 256 characters of A-Z a-z 0-9 - _",
  default: undefined,
  required: false,
  secret: true,
  parse: (text) => (KEY.test(text) ? new Secret(text) : undefined),
};

export const serviceCallersField: Field<readonly KnownCaller[] | undefined> = {
  about:
    "Services that may call, as NAME:HASH, the hash being the SHA-256 of its SERVICE_KEY in hex; a name may come twice while its key is changed. Production needs it; without it anybody may in development",
  allowed: `a comma-separated list of 1 to ${MAX_CALLERS} NAME:HASH, 64 hex digits in small letters each, none twice`,
  default: undefined,
  required: false,
  secret: false,
  parse(text) {
    const found = text.split(",").map((part) => CALLER.exec(part.trim()));
    const callers = found.flatMap((match) => {
      const [, name, sha256] = match ?? [];
      return name === undefined || sha256 === undefined ? [] : [{ name, sha256 }];
    });
    const isWhole = callers.length === found.length && callers.length <= MAX_CALLERS;
    const isUnique = new Set(callers.map(({ sha256 }) => sha256)).size === callers.length;
    return isWhole && isUnique ? callers : undefined;
  },
};

/** A new key (256 random bits), and what those who are called by it are told. */
export function makeServiceKey(): { readonly key: string; readonly sha256: string } {
  const key = `sk_${randomBytes(32).toString("base64url")}`;
  return { key, sha256: createHash("sha256").update(key).digest("hex") };
}

interface Keyed {
  readonly ENVIRONMENT: "development" | "production";
  readonly SERVICE_KEY?: Secret | undefined;
  readonly SERVICE_CALLERS?: readonly KnownCaller[] | undefined;
}

/** For `problemsOf` of a service: which of `needed` is not there although it is production. */
export function serviceKeyProblems(config: Keyed, needed: readonly ("SERVICE_KEY" | "SERVICE_CALLERS")[]): string[] {
  if (config.ENVIRONMENT !== "production") return [];
  const how = {
    SERVICE_KEY:
      "production needs the key that this service calls others with (bun run service-key), or SERVICE_KEY_FILE",
    SERVICE_CALLERS: "production needs to know which services may call this one (bun run service-key)",
  };
  return needed.filter((name) => config[name] === undefined).map((name) => `${name} is missing: ${how[name]}`);
}

/** The same for the token of the logger's RPC. */
export function rpcTokenProblems(config: {
  readonly ENVIRONMENT: "development" | "production";
  readonly LOGGER_RPC_TOKEN: Secret | undefined;
}): string[] {
  if (config.ENVIRONMENT !== "production") return [];
  if (config.LOGGER_RPC_TOKEN === undefined) {
    return [
      `LOGGER_RPC_TOKEN is missing: production needs text of at least ${MIN_TOKEN} characters (openssl rand -base64 32), or LOGGER_RPC_TOKEN_FILE`,
    ];
  }
  if (config.LOGGER_RPC_TOKEN.reveal().length >= MIN_TOKEN) return [];
  return [`LOGGER_RPC_TOKEN must be at least ${MIN_TOKEN} characters long in production`];
}
