/** compose.yaml keeps to the Compose specification's schema, and knows what the services know. */
import { expect, test } from "bun:test";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as auth from "../auth/config.ts";
import * as broker from "../broker/config.ts";
import { SERVICES } from "../deploy/build.ts";
import * as listener from "../listener/config.ts";
import * as logger from "../logger/config.ts";
import * as mail from "../mail/config.ts";
import { loadConfig } from "#shared/config";
import { makeAnnounceKey, makeServiceKey } from "#shared/service-keys";

const ROOT = join(import.meta.dir, "..");

async function lint(file: string): Promise<{ code: number; said: string }> {
  const dclint = join(ROOT, "node_modules/dclint/bin/dclint.cjs");
  const child = Bun.spawn([process.execPath, "--bun", dclint, file], {
    cwd: ROOT,
    stdout: "pipe",
    stderr: "pipe",
    timeout: 30_000,
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, said: out + err };
}

test("compose.yaml is valid", async () => {
  expect(await lint(join(ROOT, "compose.yaml"))).toMatchObject({ code: 0 });
}, 30_000);

test("a misspelt key is seen", async () => {
  const dir = await mkdtemp(join(tmpdir(), "compose-"));
  try {
    const file = join(dir, "compose.yaml");
    await cp(join(ROOT, "compose.yaml"), file);
    await Bun.write(file, (await Bun.file(file).text()).replace("healthcheck:", "healthchek:"));
    const { code, said } = await lint(file);
    expect(code).not.toBe(0);
    expect(said).toContain("must NOT have additional properties");
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}, 30_000);

interface Compose {
  readonly services: Record<
    string,
    {
      readonly image?: string;
      readonly container_name?: string;
      readonly build?: object;
      readonly ports?: readonly string[];
      readonly environment?: Readonly<Record<string, string | null>>;
    }
  >;
}

test("it has the five services, pinned images, and ports on this machine only", async () => {
  const { services } = Bun.YAML.parse(await Bun.file(join(ROOT, "compose.yaml")).text()) as Compose;
  for (const name of SERVICES) expect(services[name]?.build).toBeDefined();
  for (const [name, { image, ports }] of Object.entries(services)) {
    if (image !== undefined) expect(image, name).toMatch(/:v?\d+\.\d+/);
    for (const port of ports ?? []) expect(port, name).toStartWith("127.0.0.1:");
  }
});

test("each service behind the broker can have several instances, which are found by the name that the others call", async () => {
  const { services } = Bun.YAML.parse(await Bun.file(join(ROOT, "compose.yaml")).text()) as Compose;
  const several = await Bun.file(join(ROOT, "deploy/compose.scale.yaml")).text();
  const scaled = Bun.YAML.parse(several.replaceAll("ports: !override", "ports:")) as Compose;
  for (const name of SERVICES.filter((service) => service !== "broker")) {
    expect(services[name]?.container_name, name).toBeUndefined();
    // A port that one of them has on this machine no other can have: each gets a free one.
    const free = (services[name]?.ports ?? []).map((port) => port.replace(/^127\.0\.0\.1:\d+:/, "127.0.0.1::"));
    expect(scaled.services[name]?.ports, name).toEqual(free);
  }
  const { AUTH_URL, MAIL_URL, LOGGER_URL, LISTENER_URL, LOGGER_RPC_URL, DISCOVERY } = loadConfig(
    "broker",
    broker.fields,
    await environmentOf("broker", {}),
  );
  const urls = [AUTH_URL, MAIL_URL, LOGGER_URL, LISTENER_URL, LOGGER_RPC_URL].flat();
  expect(urls.map((url) => new URL(url).hostname)).toEqual(["auth", "mail", "logger", "listener", "logger"]);
  expect(DISCOVERY).toBe("auto");
});

/** What the services are given where these variables are set. */
async function environmentOf(name: string, set: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const text = (await Bun.file(join(ROOT, "compose.yaml")).text()).replaceAll(
    /\$\{(\w+):?-([^}]*)\}/g,
    (_all, variable: string, fallback: string) => JSON.stringify(set[variable] ?? fallback).slice(1, -1),
  );
  const { services } = Bun.YAML.parse(text) as Compose;
  const given = Object.entries(services[name]?.environment ?? {});
  return Object.fromEntries(given.map(([variable, value]) => [variable, value ?? ""]));
}

test("it starts with nothing set; and in production with what production asks for, and not without", async () => {
  const key = makeServiceKey();
  const announcing = makeAnnounceKey();
  const production = {
    ENVIRONMENT: "production",
    RABBITMQ_USER: "platform",
    RABBITMQ_PASSWORD: "e2f0b1c4d6",
    POSTGRES_PASSWORD: "a9c8e7d6f5",
    PUBLIC_URL: "https://api.example.com",
    BROKER_SERVICE_KEY: key.key,
    AUTH_SERVICE_KEY: key.key,
    MAIL_SERVICE_KEY: key.key,
    LISTENER_SERVICE_KEY: key.key,
    AUTH_ANNOUNCE_KEY: announcing.key,
    MAIL_ANNOUNCE_KEY: announcing.key,
    LISTENER_ANNOUNCE_KEY: announcing.key,
    LOGGER_ANNOUNCE_KEY: announcing.key,
    SERVICE_ANNOUNCERS: `auth:${announcing.publicKey}`,
    SERVICE_CALLERS: `broker:${key.sha256}`,
    LOGGER_RPC_TOKEN: "l".repeat(32),
    RECEIPT_SECRET: "r".repeat(32),
    AUTH_SECRET: "a".repeat(32),
    AUDIT_SECRET: "t".repeat(32),
    ACCESS: "closed",
  };
  const load = {
    auth: (env: Record<string, string>) => loadConfig("auth", auth.fields, env, auth.problemsOf),
    broker: (env: Record<string, string>) => loadConfig("broker", broker.fields, env, broker.problemsOf),
    listener: (env: Record<string, string>) => loadConfig("listener", listener.fields, env, listener.problemsOf),
    logger: (env: Record<string, string>) => loadConfig("logger", logger.fields, env, logger.problemsOf),
    mail: (env: Record<string, string>) => loadConfig("mail", mail.fields, env, mail.problemsOf),
  };
  for (const name of SERVICES) {
    expect(load[name](await environmentOf(name, {})).ENVIRONMENT).toBe("development");
    expect(load[name](await environmentOf(name, production)).ENVIRONMENT).toBe("production");
    const bare = await environmentOf(name, { ENVIRONMENT: "production" });
    expect(() => load[name](bare), name).toThrow("production needs");
  }
});
