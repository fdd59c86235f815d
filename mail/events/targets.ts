/** Whom events are told to over HTTP: as configured, and nobody else. No URL comes from a request or from the database. */
import { type Field, Secret } from "#shared/config";

const FINAL_TYPES = ["mail.sent", "mail.failed", "mail.expired", "mail.ambiguous", "mail.bounced", "mail.cancelled"];
const TYPES = [...FINAL_TYPES, "mail.deferred"];

const MAX_TARGETS = 20;
const MAX_KEYS = 5;
/** Lengths that the Standard Webhooks specification allows (bytes). */
const KEY_BYTES = { min: 24, max: 64 };

export interface Target {
  /** Scheme, host and path, by which its deliveries are kept in the database: never its query, user or password. */
  readonly name: string;
  /** Host, with a number where several are on it: for logs, metrics and `/ready`, since a path may be a secret. */
  readonly label: string;
  /** To call: with its query, without user and password. */
  readonly url: Secret;
  /** Value of `Authorization`, where the URL had user and password. */
  readonly authorization: Secret | undefined;
  /** Goes over a network without TLS. */
  readonly exposed: boolean;
}

const THIS_MACHINE = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/i;

const listOf = (text: string): string[] => text.split(",").map((part) => part.trim());

function authorizationOf({ username, password }: URL): Secret | undefined {
  if (username === "" && password === "") return undefined;
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return new Secret(`Basic ${Buffer.from(pair).toString("base64")}`);
}

/** @throws where one is no URL. */
function targetsOf(text: string): Target[] {
  const hosts = new Map<string, number>();
  return listOf(text).map((item) => {
    const url = new URL(item);
    const authorization = authorizationOf(url);
    url.username = "";
    url.password = "";
    url.hash = "";
    const nth = (hosts.get(url.host) ?? 0) + 1;
    hosts.set(url.host, nth);
    return {
      name: `${url.origin}${url.pathname}`,
      label: nth === 1 ? url.host : `${url.host} (${nth})`,
      url: new Secret(url.href),
      authorization,
      exposed: url.protocol === "http:" && !THIS_MACHINE.test(url.hostname),
    };
  });
}

const targetsField: Field<readonly Target[] | undefined> = {
  about: "Webhooks: URLs that get what becomes of mails. The same for all replicas; needs WEBHOOK_SECRET",
  allowed: `a comma-separated list of up to ${MAX_TARGETS} http:// or https:// URLs, no two alike but for their query (production: https://, but for this machine)`,
  default: undefined,
  required: false,
  secret: true,
  parse(text) {
    try {
      const targets = targetsOf(text);
      const isRight = targets.every(({ name }) => /^https?:\/\//.test(name));
      const isEachOther = new Set(targets.map(({ name }) => name)).size === targets.length;
      return isRight && isEachOther && targets.length <= MAX_TARGETS ? targets : undefined;
    } catch {
      return undefined;
    }
  },
};

function keyOf(text: string): Buffer | undefined {
  const base64 = text.replace(/^whsec_/, "");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  const key = Buffer.from(base64, "base64");
  return key.length >= KEY_BYTES.min && key.length <= KEY_BYTES.max ? key : undefined;
}

/** Each text is checked to be a key. */
const keysField: Field<readonly Secret[] | undefined> = {
  about:
    "Signs webhooks (Standard Webhooks). Several during a rotation: a call then has a signature by each, the first one's first",
  allowed: `a comma-separated list of up to ${MAX_KEYS} secrets, each ${KEY_BYTES.min} to ${KEY_BYTES.max} bytes in base64, with or without whsec_ before it (openssl rand -base64 32)`,
  default: undefined,
  required: false,
  secret: true,
  parse(text) {
    const keys = listOf(text);
    return keys.length <= MAX_KEYS && keys.every((key) => keyOf(key) !== undefined)
      ? keys.map((key) => new Secret(key))
      : undefined;
  },
};

const typesField: Field<readonly string[]> = {
  about: "Events that webhooks get; RabbitMQ has all of them",
  allowed: `a comma-separated list of ${TYPES.join(", ")}`,
  default: FINAL_TYPES.join(","),
  required: false,
  secret: false,
  parse(text) {
    const types = listOf(text);
    return types.every((type) => TYPES.includes(type)) ? types : undefined;
  },
};

export const webhookFields = {
  WEBHOOK_URLS: targetsField,
  WEBHOOK_SECRET: keysField,
  WEBHOOK_EVENTS: typesField,
};

export interface WebhookConfig {
  readonly ENVIRONMENT: "development" | "production";
  readonly WEBHOOK_URLS: readonly Target[] | undefined;
  readonly WEBHOOK_SECRET: readonly Secret[] | undefined;
}

/** What is wrong with the values together. */
export function webhookProblems({ ENVIRONMENT, WEBHOOK_URLS, WEBHOOK_SECRET }: WebhookConfig): string[] {
  if (WEBHOOK_URLS === undefined) {
    return WEBHOOK_SECRET === undefined ? [] : ["WEBHOOK_URLS is missing: WEBHOOK_SECRET is of no use without it"];
  }
  const problems: string[] = [];
  if (WEBHOOK_SECRET === undefined) {
    problems.push("WEBHOOK_SECRET is missing: webhooks are signed (openssl rand -base64 32), or WEBHOOK_SECRET_FILE");
  }
  if (ENVIRONMENT === "production" && WEBHOOK_URLS.some(({ exposed }) => exposed)) {
    problems.push("WEBHOOK_URLS must be https:// in production, but for this machine");
  }
  return problems;
}

/** The bytes of keys that the configuration has checked. */
export function keyBytesOf(keys: readonly Secret[]): Buffer[] {
  return keys.map((key) => {
    const bytes = keyOf(key.reveal());
    if (bytes === undefined) throw new Error("a webhook secret that was not checked");
    return bytes;
  });
}
