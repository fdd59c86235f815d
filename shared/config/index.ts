/**
 * Configuration is the environment (twelve-factor III), checked once at start: every bad variable is named
 * in one message, with what is allowed and never with the value of a secret.
 * A service reads `<SERVICE>_X` before `X`, and every secret `X` also as `X_FILE`, a path to a mounted secret.
 */
import { readFileSync } from "node:fs";
import { LOG_LEVELS, type LogLevel } from "#shared/log";
import { Secret } from "./secret.ts";

export { knownCredentials } from "./credentials.ts";
export { Secret } from "./secret.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** One variable: how its text becomes a value. */
export interface Field<T> {
  /** What it is for, with its unit; printed by `--help` and in the docs. */
  readonly about: string;
  /** What is allowed, in words: follows "must be". */
  readonly allowed: string;
  /** As text; undefined where the variable may be absent, or has to be given. */
  readonly default: string | undefined;
  /** Absent without a default is an error. */
  readonly required: boolean;
  /** Its value is never shown, and may be given as a file. */
  readonly secret: boolean;
  /** The value, or undefined where the text is not allowed. */
  readonly parse: (text: string) => T | undefined;
}

export function integer(about: string, fallback: number, { min, max }: { min: number; max: number }): Field<number> {
  return {
    about,
    allowed: `a whole number from ${min} to ${max}`,
    default: String(fallback),
    required: false,
    secret: false,
    parse: (text) => {
      const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
  };
}

/** A TCP port; 0 takes any free one. */
export function port(about: string, fallback: number): Field<number> {
  return integer(about, fallback, { min: 0, max: 65_535 });
}

export function choice<const T extends string>(about: string, fallback: T, values: readonly T[]): Field<T> {
  return {
    about,
    allowed: `one of ${values.join(", ")}`,
    default: fallback,
    required: false,
    secret: false,
    parse: (text) => values.find((value) => value === text),
  };
}

export function text(about: string, fallback: string, pattern = /^.+$/s, allowed = "text"): Field<string> {
  return {
    about,
    allowed,
    default: fallback,
    required: false,
    secret: false,
    parse: (value) => (pattern.test(value) ? value : undefined),
  };
}

/** Comma-separated text; empty for none. */
export function list(
  about: string,
  fallback: string,
  item = /^\S+$/,
  allowed = "a comma-separated list",
): Field<string[]> {
  return {
    about,
    allowed,
    default: fallback,
    required: false,
    secret: false,
    parse: (value) => {
      const items = value
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== "");
      return items.every((part) => item.test(part)) ? items : undefined;
    },
  };
}

/** Of libpq's, those in which whoever is between cannot talk both sides out of TLS. */
const SSL_MODES = ["disable", "require", "verify-ca", "verify-full"];

/** Protocols that imply no port: their URLs have to name one. */
const PORTLESS = ["tcp", "tls"];

function urlOf(value: string, protocols: readonly string[]): URL | undefined {
  if (!URL.canParse(value)) return undefined;
  const url = new URL(value);
  const protocol = url.protocol.slice(0, -1);
  if (protocol.startsWith("postgres") && !SSL_MODES.includes(url.searchParams.get("sslmode") ?? "disable"))
    return undefined;
  if (!protocols.includes(protocol) || url.hostname === "") return undefined;
  return PORTLESS.includes(protocol) && url.port === "" ? undefined : url;
}

function protocolsAllowed(protocols: readonly string[]): string {
  const port = protocols.some((protocol) => PORTLESS.includes(protocol)) ? " and names a port" : "";
  const mode = protocols.includes("postgres") ? `, its sslmode (if any) one of ${SSL_MODES.join(", ")}` : "";
  return `a URL that begins with ${protocols.map((protocol) => `${protocol}://`).join(" or ")}${port}${mode}`;
}

/** A URL without credentials in it, as text and without a slash at its end. */
export function url(about: string, fallback: string, protocols: readonly string[]): Field<string> {
  return {
    about,
    allowed: `${protocolsAllowed(protocols)}, without user and password`,
    default: fallback,
    required: false,
    secret: false,
    parse: (value) => {
      const parsed = urlOf(value, protocols);
      return parsed === undefined || parsed.username !== "" || parsed.password !== ""
        ? undefined
        : value.replace(/\/+$/, "");
    },
  };
}

/** Most addresses of one service in the configuration. */
const MAX_URLS = 64;

/** Addresses of one service: a URL for each instance, all with the same scheme. */
export function urls(about: string, fallback: string, protocols: readonly string[]): Field<readonly string[]> {
  const single = url(about, fallback, protocols);
  return {
    ...single,
    allowed: `${single.allowed}; or up to ${MAX_URLS} of them with commas between, which begin alike`,
    parse(value) {
      const all = value.split(",").map((part) => single.parse(part.trim()));
      const found = [...new Set(all.filter((one) => one !== undefined))];
      const schemes = new Set(found.map((one) => new URL(one).protocol));
      return all.includes(undefined) || found.length > MAX_URLS || schemes.size > 1 ? undefined : found;
    },
  };
}

/** A URL that may hold a password, and is therefore a secret. MongoDB's may name several hosts. */
export function secretUrl(about: string, fallback: string, protocols: readonly string[]): Field<Secret> {
  return {
    about,
    allowed: protocolsAllowed(protocols),
    default: fallback,
    required: false,
    secret: true,
    parse: (value) => {
      // Several hosts (`a:1,b:2`) are no URL by the URL standard: the first one is checked in their place.
      const single = value.replace(/^(mongodb(?:\+srv)?:\/\/(?:[^@/]*@)?[^,/]+),[^/?]*/, "$1");
      return urlOf(single, protocols) === undefined ? undefined : new Secret(value);
    },
  };
}

/** Secret text that may be absent. */
export function secret(about: string): Field<Secret | undefined> {
  return {
    about,
    allowed: "text that is not empty",
    default: undefined,
    required: false,
    secret: true,
    parse: (value) => (value === "" ? undefined : new Secret(value)),
  };
}

/** `field`, but absent is allowed and means undefined. */
export function optional<T>(field: Field<T>): Field<T | undefined> {
  return { ...field, default: undefined, required: false };
}

// A field of any type: its type is read back from the record by `Values`.
export type Fields = Readonly<Record<string, Field<unknown>>>;
export type Values<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

/** The environment is not what the service can start with. `message` names every bad variable. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** What every service reads. */
export const commonFields = (defaultPort: number) => ({
  PORT: port("HTTP port", defaultPort),
  HOST: text("Address to listen on; 0.0.0.0 for all", "127.0.0.1", /^[A-Za-z0-9.:_-]+$/, "a host name or an address"),
  ENVIRONMENT: choice("Development has open defaults; production refuses them", "development", [
    "development",
    "production",
  ]),
  LOG_LEVEL: choice<LogLevel>("Least severe line that the service logs", "info", LOG_LEVELS),
  CORS_ORIGINS: optional(
    list(
      "Origins that browsers may call from; * for all, without credentials. Default: * in development, none in production",
      "",
      /^(\*|https?:\/\/[^\s/]+)$/,
      "* or a comma-separated list of origins such as https://app.example.com",
    ),
  ),
  TLS_CERT_FILE: optional(
    text(
      "File with the certificate (PEM, own first, then its chain) to listen with by TLS; read again when it changes",
      "",
    ),
  ),
  TLS_KEY_FILE: optional(text("File with the key of TLS_CERT_FILE (PEM, without a passphrase)", "")),
  TLS_CLIENT_CA_FILE: optional(
    text("File with certificates (PEM): who calls has to show one that they have signed, by TLS 1.3", ""),
  ),
  TLS_CA_FILE: optional(
    text("File with the certificates (PEM) to trust where this service calls others, in place of the system's", ""),
  ),
  ALLOWED_HOSTS: list(
    "Host names that requests may be for, without ports; *.example.com for all below. Empty: any. /ping, /ready and /metrics answer to all",
    "",
    /^(\*\.)?[A-Za-z0-9._~-]+$|^\[[0-9A-Fa-f:.]+\]$/,
    "a comma-separated list of host names such as api.example.com",
  ),
  METRICS: optional(
    choice(
      "Whether /metrics is there; for the broker, by its service key, it always is. Default: open; at the broker in production off unless METRICS_TOKEN is set",
      "open",
      ["open", "off"],
    ),
  ),
  METRICS_TOKEN: optional({
    ...secret("Bearer token that /metrics asks for; without it none is needed"),
    allowed: "16 to 512 characters of A-Z a-z 0-9 - . _ ~ + /",
    parse: (value) => (/^[\w.~+/-]{16,512}=*$/.test(value) ? new Secret(value) : undefined),
  }),
});

/** Origins that browsers may call from: as configured, else all in development and none in production. */
export function corsOriginsOf(config: {
  readonly CORS_ORIGINS: string[] | undefined;
  readonly ENVIRONMENT: "development" | "production";
}): readonly string[] {
  return config.CORS_ORIGINS ?? (config.ENVIRONMENT === "development" ? ["*"] : []);
}

function readFile(path: string): { text: string } | { error: string } {
  try {
    return { text: readFileSync(path, "utf8").replace(/\r?\n$/, "") };
  } catch (error) {
    return { error: error instanceof Error && "code" in error ? String(error.code) : "unreadable" };
  }
}

/** The text of a variable, and the name that it was found under. */
function find(service: string, name: string, field: Field<unknown>, env: Environment) {
  for (const candidate of [`${service.toUpperCase()}_${name}`, name]) {
    const direct = env[candidate] || undefined;
    const path = field.secret ? env[`${candidate}_FILE`] || undefined : undefined;
    if (direct !== undefined && path !== undefined) {
      return { name: candidate, problem: `is given twice, also as ${candidate}_FILE: give one of them` };
    }
    if (path !== undefined) {
      const file = readFile(path);
      return "text" in file
        ? { name: `${candidate}_FILE`, text: file.text }
        : { name: `${candidate}_FILE`, problem: `names a file that cannot be read (${file.error})` };
    }
    if (direct !== undefined) return { name: candidate, text: direct };
  }
  return { name, text: field.default };
}

/**
 * The values of `fields` for `service`. Empty text counts as absent.
 * @param together what is wrong with values that are right each by itself, a line each that begins with the variable's
 * name. Where others are wrong, it is given their defaults; of those it cannot say more.
 * @throws ConfigError that names all bad variables at once.
 */
export function loadConfig<F extends Fields>(
  service: string,
  fields: F,
  env: Environment,
  together: (values: Values<F>) => readonly string[] = () => [],
): Values<F> {
  const problems: string[] = [];
  const wrong: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(fields)) {
    const found = find(service, name, field, env);
    const value = found.text === undefined ? undefined : field.parse(found.text);
    if (found.problem !== undefined) {
      problems.push(`${found.name} ${found.problem}`);
    } else if (found.text === undefined) {
      if (!field.required) continue;
      problems.push(`${name} is missing: it must be ${field.allowed} (${field.about})`);
    } else if (value === undefined) {
      const shown = field.secret ? "" : `, not ${JSON.stringify(found.text.slice(0, 80))}`;
      problems.push(`${found.name} must be ${field.allowed}${shown}`);
    } else {
      values[name] = value;
      continue;
    }
    wrong.push(name);
    if (field.default !== undefined) values[name] = field.parse(field.default);
  }
  // What has no default cannot be stood in for.
  if (wrong.every((name) => name in values || fields[name]?.required === false)) {
    const more = together(values as Values<F>);
    problems.push(...more.filter((line) => !wrong.some((name) => line.startsWith(`${name} `))));
  }
  if (problems.length > 0) {
    throw new ConfigError(`${service}: the configuration is wrong:\n${problems.map((line) => `  ${line}\n`).join("")}`);
  }
  return Object.freeze(values) as Values<F>;
}

/** What `--help` shows of the variables: name, default, meaning. */
export function describeConfig(fields: Fields): string {
  const rows = Object.entries(fields).map(([name, field]) => {
    const shown = field.default === undefined ? "" : withoutPassword(field.default);
    return { name: field.secret ? `${name}, ${name}_FILE` : name, about: field.about, shown };
  });
  const width = Math.max(...rows.map((row) => row.name.length));
  return rows
    .map((row) => `  ${row.name.padEnd(width)}  ${row.about}${row.shown === "" ? "" : ` (default ${row.shown})`}`)
    .join("\n");
}

/** The same as rows of a Markdown table, for the docs. */
export function configTable(fields: Fields): string {
  const rows = Object.entries(fields).map(
    ([name, field]) =>
      `| \`${name}\` | ${field.default === undefined || field.default === "" ? "" : `\`${withoutPassword(field.default)}\``} | ${field.about} | ${field.allowed} |`,
  );
  return ["| variable | default | meaning | allowed |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

function withoutPassword(value: string): string {
  return value.replace(/:\/\/([^:/@]+):[^@/]+@/, "://$1:***@");
}
