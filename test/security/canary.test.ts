/**
 * Nothing secret gets out (checklist 31, 33): secrets are planted in every variable, header and body that takes one; the
 * five services go through success and failure; then all that they said is searched, and all that they stored.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import amqp from "amqplib";
import postgres from "postgres";
import { LOGS_EXCHANGE } from "#contracts/events";
import { IDENTITY_EXCHANGE } from "#contracts/identity";
import { MAIL_EXCHANGE } from "#contracts/mail";
import { freePort } from "../../dev/backing/ports.ts";
import { logFile, ROOT } from "../../dev/paths.ts";
import { SERVICE_NAMES, type ServiceName } from "../../dev/services.ts";
import { HAS_BACKING, type Platform, START_MS, startPlatform, until } from "../kit.ts";
import { Canaries, canary, FIELDS, filesBelow, plantedEnvironment, plantedUrls } from "./canary.ts";

const MAIL = { from: "me@example.com", to: "you@there.com", subject: "s", message: "m" };
const JSON_TYPE = { "content-type": "application/json" };

/** What one service says on its own, from its start to its end. */
interface Said {
  readonly code: number;
  readonly text: string;
}

async function say(
  service: ServiceName,
  args: string[],
  env: Record<string, string | undefined>,
  during: (hasEnded: () => boolean) => Promise<void> = async () => undefined,
): Promise<Said> {
  const { PATH, HOME } = process.env;
  const child = Bun.spawn([process.execPath, join(ROOT, service, "main.ts"), ...args], {
    env: { PATH, HOME, LOG_LEVEL: "debug", ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = Promise.all([child.stdout.text(), child.stderr.text()]);
  const failed = await during(() => child.exitCode !== null).catch((error: unknown) => error);
  if (args.length === 0) child.kill("SIGTERM");
  const [out, err] = await said;
  if (failed !== undefined) throw new Error(`${service} said: ${out}${err}`, { cause: failed });
  return { code: await child.exited, text: out + err };
}

test("the search finds a secret however it is encoded", () => {
  const canaries = new Canaries();
  const secret = canaries.plant("it");
  for (const look of [
    secret,
    encodeURIComponent(secret),
    Buffer.from(secret).toString("hex"),
    Buffer.from(secret).toString("base64"),
    Buffer.from(`ann:${secret}`).toString("base64"),
    Buffer.from(`anna:${secret}, and more`).toString("base64url"),
    JSON.stringify({ a: JSON.stringify({ secret }) }),
  ]) {
    expect([look, canaries.in(`before ${look} after`).length > 0]).toEqual([look, true]);
  }
  expect(canaries.in(canary())).toEqual([]);
});

test.each(SERVICE_NAMES)(
  "%s says what is wrong with its configuration and shows no value of it",
  async (service) => {
    const canaries = new Canaries();
    const planted = plantedEnvironment(canaries);
    const asFile = join(process.env["TMPDIR"] ?? "/tmp", `canary-${process.pid}-${service}`);
    await writeFile(asFile, canaries.plant("a file"));
    const secrets = Object.entries(FIELDS[service]).filter(([, field]) => field.secret);
    const each = (value: (name: string) => Record<string, string>): Record<string, string> =>
      Object.assign({}, ...secrets.map(([name]) => value(name))) as Record<string, string>;
    const wrong = each((name) => ({ [name]: `\n${canaries.plant(`a wrong ${name}`)} ://x@` }));
    const twice = each((name) => ({
      [name]: planted[name] ?? canaries.plant(`${name} given twice`),
      [`${name}_FILE`]: asFile,
    }));
    const files = each((name) => ({ [`${name}_FILE`]: asFile }));
    for (const env of [wrong, { ...wrong, ENVIRONMENT: "production" }, twice, files]) {
      const { code, text } = await say(service, ["--check-config"], env);
      expect([code, canaries.in(text)]).toEqual([2, []]);
      if (env === twice) for (const [name] of secrets) expect(text).toContain(`${name} is given twice`);
    }
    const { code, text } = await say(service, ["--help"], planted);
    await rm(asFile);
    expect([code, canaries.in(text)]).toEqual([0, []]);
  },
  120_000,
);

describe.skipIf(!HAS_BACKING)("secrets in a running platform (needs the backing services of `bun run test`)", () => {
  const canaries = new Canaries();
  const planted = plantedEnvironment(canaries);
  const answers: string[] = [];
  const messages: string[] = [];
  let platform: Platform;
  let rabbit: amqp.ChannelModel;
  beforeAll(async () => {
    platform = await startPlatform({ env: { ...planted, DKIM_SELECTOR: "k1", LOG_LEVEL: "debug", BCRYPT_COST: "4" } });
    rabbit = await platform.rabbit();
    const channel = await rabbit.createChannel();
    const { queue } = await channel.assertQueue("", { exclusive: true });
    for (const exchange of [LOGS_EXCHANGE, IDENTITY_EXCHANGE, MAIL_EXCHANGE]) {
      await channel.assertExchange(exchange, "topic", { durable: true });
      await channel.bindQueue(queue, exchange, "#");
    }
    await channel.consume(queue, (message) => {
      if (message !== null)
        messages.push(
          `${message.fields.routingKey} ${JSON.stringify(message.properties)} ${message.content.toString()}`,
        );
    });
  }, START_MS);
  afterAll(async () => {
    await rabbit?.close();
    await platform?.[Symbol.asyncDispose]();
  }, 60_000);

  /** An answer is kept as it came, headers too; none (status 0) from a service that is stopped. */
  async function ask(
    service: ServiceName,
    path: string,
    init: RequestInit = {},
  ): Promise<{ status: number; text: string }> {
    const url = `${platform.url(service)}${path}`;
    const answer = await fetch(url, { signal: AbortSignal.timeout(20_000), ...init }).catch((error: unknown) => {
      if (platform.stack.part(service).state === "running") throw error;
      return undefined;
    });
    if (answer === undefined) return { status: 0, text: "" };
    const text = await answer.text();
    answers.push(
      `${init.method ?? "GET"} ${service} ${path}: ${answer.status} ${JSON.stringify([...answer.headers])} ${text}`,
    );
    return { status: answer.status, text };
  }
  const post = (service: ServiceName, path: string, body: unknown, headers: Record<string, string> = {}) =>
    ask(service, path, {
      method: "POST",
      headers: { ...JSON_TYPE, ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  const login = (email: string, password: string) => ({ action: "auth", auth: { email, password } });

  /** Credentials of every kind, right and wrong, in every place where somebody may put one. */
  async function goThrough(): Promise<void> {
    const credentials = [
      { authorization: `Bearer ${canaries.plant("a bearer token")}` },
      { authorization: `Basic ${Buffer.from(`ann:${canaries.plant("a basic password")}`).toString("base64")}` },
      { authorization: canaries.plant("a bare authorization") },
      { "x-api-key": `pk_1_${canaries.plant("an API key")}` },
      { cookie: `session=${canaries.plant("a cookie")}` },
      { "x-service-key": canaries.plant("a service key") },
    ];
    const gets = [
      "/v1/me",
      "/v1/users",
      "/v1/sessions",
      "/v1/api-keys",
      "/v1/logs",
      "/v1/mails",
      "/v1/events/queues",
      "/v1/events/dead-letters",
      "/v1/health",
      "/nowhere",
      "/ready",
    ];
    for (const headers of credentials) {
      for (const path of gets) await ask("broker", path, { headers });
      for (const service of SERVICE_NAMES) await ask(service, "/metrics", { headers });
      await ask("auth", "/me", { headers });
    }
    const secret = (what: string): string => canaries.plant(what);
    await post("broker", "/handle", login("admin@example.com", secret("a wrong password")));
    await post("broker", "/handle", login(`nobody-${process.pid}@example.com`, secret("a password of nobody")));
    await post("broker", "/handle", {
      action: "auth",
      auth: { email: 7, password: secret("a password beside a wrong address") },
    });
    await post(
      "broker",
      "/handle",
      `{"action":"auth","auth":{"email":"a@example.com","password":"${secret("a password in bad JSON")}"`,
    );
    await post("broker", "/handle", [
      login("a@example.com", secret("a password in a batch")),
      { action: "auth", password: secret("a password beside it") },
    ]);
    await post("broker", "/handle", { action: secret("a password for an action") });
    await post("auth", "/authenticate", { email: "admin@example.com", password: [secret("a password in a list")] });
    await post("auth", "/authenticate", { email: "admin@example.com", password: secret("a long password").repeat(40) });
    for (const body of [
      { email: "no address", password: secret("a password beside no address") },
      { email: `x-${canary()}@example.com`, password: "short" },
    ]) {
      await post("broker", "/v1/users", body);
    }
    await post("broker", "/v1/sessions/refresh", { refresh_token: secret("a refresh token") });
    await post("broker", "/v1/password-resets/confirm", {
      token: secret("a token of a reset"),
      password: secret("the password of it"),
    });
    await post("broker", "/v1/email-verifications/confirm", { token: secret("a token of an address") });
    await ask("broker", "/v1/me/password", {
      method: "PUT",
      headers: JSON_TYPE,
      body: JSON.stringify({ current_password: secret("an old password"), new_password: secret("a new password") }),
    });
  }

  test("success: a user of his own, who comes in, and what he is given is shown to nobody else", async () => {
    const email = `canary-${process.pid}-${Date.now()}@example.com`;
    const password = canaries.plant("a right password");
    const registered = await post("broker", "/v1/users", { email, password, first_name: "C", last_name: "" });
    expect([202, 201]).toContain(registered.status);
    const own = postgres(`${platform.stack.backing.get("postgres")?.url}/users`, { max: 1 });
    await own`update users set user_active = 1 where email = ${email}`;
    const startedAt = answers.length;
    const came = await post("broker", "/handle", login(email, password));
    // The one answer that tokens are for.
    answers.splice(startedAt, 1);
    expect(came.status).toBe(202);
    const { access_token, refresh_token } = (JSON.parse(came.text) as { data: Record<string, string> }).data;
    canaries.plant("an access token's signature", access_token?.split(".")[2]);
    canaries.plant("a refresh token that is right", refresh_token);
    await ask("broker", "/v1/me", { headers: { authorization: `Bearer ${access_token}` } });
    await ask("auth", "/me", { headers: { authorization: `Bearer ${access_token}` } });
    await own.end();
    expect(
      (await post("broker", "/handle", { action: "log", log: { name: "seen", data: `seen ${email}` } })).status,
    ).toBe(202);
    expect((await post("broker", "/handle", { action: "mail", mail: MAIL })).status).toBe(202);
    await ask("broker", "/v1/events/queues", { headers: { authorization: `Bearer ${planted["OPERATOR_TOKEN"]}` } });
    for (const service of SERVICE_NAMES) {
      const metrics = await ask(service, "/metrics", {
        headers: { authorization: `Bearer ${planted["METRICS_TOKEN"]}` },
      });
      expect([service, metrics.status]).toEqual([service, 200]);
    }
    await goThrough();
  }, 60_000);

  test("failure: the same while parts are away, and through their return", async () => {
    for (const name of ["auth", "logger", "mail"] as const) await platform.stack.part(name).stop();
    await goThrough();
    await post("broker", "/handle", { action: "log", log: { name: "away", data: 1 } });
    await post("broker", "/handle", { action: "mail", mail: MAIL });
    for (const name of ["auth", "logger", "mail"] as const) await platform.stack.part(name).start();
    await until(
      "back",
      () => (["auth", "logger", "mail"] as const).every((name) => platform.stack.part(name).state === "running"),
      60_000,
    );
    await until(
      "what was queued is stored",
      async () => (await platform.entries.countDocuments({ name: "away" })) === 1,
      30_000,
    );
  }, 120_000);

  test.each(SERVICE_NAMES)(
    "%s with credentials that its servers refuse, and with servers that are not there",
    async (service) => {
      const real: Record<string, string> = {};
      for (const [variable, part] of [
        ["DATABASE_URL", "postgres"],
        ["MONGODB_URL", "mongodb"],
        ["RABBITMQ_URL", "rabbitmq"],
        ["SMTP_URL", "smtp"],
      ] as const) {
        real[variable] = new URL(platform.stack.backing.get(part)?.url ?? "").host;
      }
      for (const where of [(name: string) => `${real[name] ?? "127.0.0.1:9"}/nowhere`, () => "127.0.0.1:9/nowhere"]) {
        const port = String(await freePort());
        const env = {
          ...planted,
          DKIM_SELECTOR: "k1",
          ...plantedUrls(service, canaries, where),
          PORT: port,
          RPC_PORT: "0",
          PUBLIC_URL: "http://localhost",
          SPOOL_DIR: join(platform.stack.dataDir, `spool-${port}`),
        };
        const { text } = await say(service, [], env, async (hasEnded) => {
          const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`);
          await until("it answers", async () => hasEnded() || (await get("/ping")).ok, 20_000);
          // A failure is told in /ready, or is a reason to end.
          await until(
            "a failure is told",
            async () => {
              if (hasEnded()) return true;
              const report = await (await get("/ready")).text();
              answers.push(report);
              return /"state":"down"|last_error/.test(report);
            },
            20_000,
          );
        });
        expect(text).toContain('"message":"listening"');
        expect([service, canaries.in(text)]).toEqual([service, []]);
      }
    },
    120_000,
  );

  test("none of it is in a log, an answer, a metric, a message, a spool or a database", async () => {
    const { dataDir } = platform.stack;
    const logs = new Map(
      await Promise.all(
        SERVICE_NAMES.map(async (name) => [name, await Bun.file(logFile(dataDir, name)).text()] as const),
      ),
    );
    const spools = await filesBelow(join(dataDir, "spool"));
    const rows: string[] = [];
    for (const database of ["users", "mail"]) {
      const sql = postgres(`${platform.stack.backing.get("postgres")?.url}/${database}`, { max: 1 });
      for (const { table } of await sql<
        { table: string }[]
      >`select tablename as table from pg_tables where schemaname = 'public'`) {
        // bytea is told as hexadecimal digits, which the search knows.
        for (const { row } of await sql<{ row: string }[]>`select t::text as row from ${sql(table)} t`)
          rows.push(`${table} ${row}`);
      }
      await sql.end();
    }
    const entries = (await platform.entries.find().toArray()).map((entry) => JSON.stringify(entry));

    // Each place is where things end up that are no secret: else it would be searched in vain.
    expect(canaries.size).toBeGreaterThan(40);
    for (const [name, text] of logs) expect([name, text.includes('"level":"debug"')]).toEqual([name, true]);
    expect(answers.filter((answer) => answer.includes("process_start_time_seconds"))).not.toEqual([]);
    expect(messages.length).toBeGreaterThan(0);
    expect(rows.filter((row) => row.includes("canary-"))).not.toEqual([]);
    expect(entries.filter((entry) => entry.includes("seen canary-"))).not.toEqual([]);

    const places = {
      ...Object.fromEntries(logs),
      answers: answers.join("\n"),
      messages: messages.join("\n"),
      rows: rows.join("\n"),
      entries: entries.join("\n"),
      ...Object.fromEntries(spools),
    };
    for (const [place, text] of Object.entries(places)) expect([place, canaries.in(text)]).toEqual([place, []]);
  }, 60_000);
});
