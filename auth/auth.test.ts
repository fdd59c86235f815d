/** The whole service over real HTTP on a real PostgreSQL (TEST_POSTGRES_URL). */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { createRemoteJWKSet, jwtVerify } from "jose";
import postgres from "postgres";
import { ACCESS_TOKEN } from "#contracts/auth";
import { type Environment, loadConfig } from "#shared/config";
import { type App, makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { start } from "./app.ts";
import { fields } from "./config.ts";
import { DEVELOPMENT_USER } from "./development-user.ts";
import { seedDevelopmentUser } from "./seed.ts";

// Bounds a hang; a busy machine is allowed to be slow.
setDefaultTimeout(30_000);

const SERVER = process.env["TEST_POSTGRES_URL"];
const withServer = test.skipIf(SERVER === undefined);
const NEEDS = "(needs TEST_POSTGRES_URL)";
const server = new URL(SERVER ?? "postgres://localhost:5432");
const databaseName = `test_auth_${process.pid}_${Date.now()}`;
const admin = postgres(server.href, { max: 1, onnotice: () => undefined });

function databaseUrl(name = databaseName, host = server.host): string {
  const url = new URL(server.href);
  url.pathname = `/${name}`;
  url.host = host;
  return url.href;
}
const sql = postgres(databaseUrl(), { max: 2, onnotice: () => undefined });

/** auth on a free port, with cheap hashes. */
function begin(env: Environment = {}): Promise<App> {
  const config = loadConfig("auth", fields, {
    PORT: "0",
    DATABASE_URL: databaseUrl(),
    BCRYPT_COST: "6",
    HASH_WORKERS: "2",
    // Nothing listens there: what is told is not for the queues of a developer.
    RABBITMQ_URL: "amqp://127.0.0.1:9",
    MAIL_URL: "http://127.0.0.1:9",
    ...env,
  });
  return start(
    config,
    makeRuntime("auth", silentLog, () => undefined),
  );
}

async function until(what: string, condition: () => Promise<boolean>, ms = 8_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await Bun.sleep(20);
  }
}
const isReady = (at: App) => fetch(`${at.url}/ready`).then((reply) => reply.status === 200);

interface Reply {
  status: number;
  text: string;
  headers: Headers;
  json: { error: boolean; message: string; data?: Record<string, unknown> };
}
async function post(body: unknown, options: { at?: App; type?: string | null } = {}): Promise<Reply> {
  const { at = app, type = "application/json" } = options;
  const reply = await fetch(`${at.url}/authenticate`, {
    method: "POST",
    body: typeof body === "string" ? new TextEncoder().encode(body) : JSON.stringify(body),
    headers: type === null ? {} : { "content-type": type },
  });
  const text = await reply.text();
  return { status: reply.status, text, headers: reply.headers, json: JSON.parse(text) as Reply["json"] };
}
const REFUSED = { error: true, message: "Invalid Credentials" };

async function addUser(email: string, password: string, active: number | null = 1): Promise<void> {
  await sql`insert into users (email, password, user_active) values (${email}, ${password}, ${active})`;
}
const hashOf = (password: string, cost = 6) => Bun.password.hashSync(password, { algorithm: "bcrypt", cost });

let app: App;
beforeAll(async () => {
  if (SERVER === undefined) return;
  await admin`create database ${admin(databaseName)}`;
  app = await begin();
  await until("ready", () => isReady(app));
  await addUser("Ann@Example.com", hashOf("s3cret"));
}, 20_000);
afterAll(async () => {
  if (SERVER !== undefined) {
    await app[Symbol.asyncDispose]();
    await sql.end();
    await admin`drop database if exists ${admin(databaseName)} with (force)`;
  }
  await admin.end();
}, 20_000);

withServer(`the right password: 202, the user and his tokens, nothing of the hash ${NEEDS}`, async () => {
  const reply = await post({ email: "ann@example.com", password: "s3cret" });
  expect(reply.status).toBe(202);
  expect(reply.headers.get("cache-control")).toBe("no-store");
  expect(reply.json).toEqual({
    error: false,
    message: "Logged in user Ann@Example.com",
    data: {
      id: expect.any(Number),
      email: "Ann@Example.com",
      first_name: "",
      last_name: "",
      active: 1,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      updated_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      session_id: expect.any(String),
      role: "member",
      scopes: ["logs:write"],
      email_verified: false,
      version: 1,
      access_token: expect.stringMatching(/^ey/),
      refresh_token: expect.stringMatching(/^[\w-]{43}$/),
      expires_in: 600,
      refresh_expires_in: 30 * 86_400,
    },
  });
  const age = Date.now() - Date.parse(String(reply.json.data?.["created_at"]));
  expect(Math.abs(age)).toBeLessThan(60_000);
  for (const hidden of ["$2", "s3cret", '"password"', "private"]) expect(reply.text).not.toContain(hidden);
  const digest = new Bun.CryptoHasher("sha256").update(String(reply.json.data?.["refresh_token"])).digest();
  expect((await sql`select 1 from refresh_tokens where token_hash = ${digest}`).length).toBe(1);
});

withServer(`the access token verifies with the key set, and says who, for whom and how long ${NEEDS}`, async () => {
  const { json } = await post({ email: "ann@example.com", password: "s3cret" });
  const keys = createRemoteJWKSet(new URL(`${app.url}/.well-known/jwks.json`));
  const { payload, protectedHeader } = await jwtVerify(String(json.data?.["access_token"]), keys, {
    issuer: ACCESS_TOKEN.issuer,
    audience: ACCESS_TOKEN.audience,
    typ: "at+jwt",
    algorithms: ["EdDSA"],
    requiredClaims: ["sub", "iat", "exp", "jti", "client_id", "sid"],
  });
  expect(protectedHeader.kid).toBeString();
  expect(payload.sub).toBe(String(json.data?.["id"]));
  expect((await sql`select 1 from sessions where id = ${String(payload["sid"])}`).length).toBe(1);
  const set = await fetch(`${app.url}/.well-known/jwks.json`);
  expect(set.headers.get("cache-control")).toBe("public, max-age=60");
  expect(await set.text()).not.toContain('"d"');
});

withServer(`401, the same to the last byte, whatever is wrong ${NEEDS}`, async () => {
  await addUser("inactive@example.com", hashOf("s3cret"), 0);
  await addUser("null@example.com", hashOf("s3cret"), null);
  await addUser("malformed@example.com", "$2a$06$nonsense");
  await addUser("empty@example.com", "");
  const refused = await Promise.all([
    post({ email: "ann@example.com", password: "guess" }),
    post({ email: "nobody@example.com", password: "s3cret" }),
    post({ email: "inactive@example.com", password: "s3cret" }),
    post({ email: "null@example.com", password: "s3cret" }),
    post({ email: "malformed@example.com", password: "s3cret" }),
    post({ email: "empty@example.com", password: "s3cret" }),
    post({ email: "ann@example.com\0", password: "s3cret" }),
    post({ email: "ann@example.com' or '1'='1", password: "s3cret" }),
    post({ email: "'; drop table users; --", password: "' or 1=1 --" }),
    post({ email: "%", password: "s3cret" }),
    post({ email: "ann@example.com", password: "a".repeat(1_024) }),
  ]);
  for (const { status, json } of refused) expect([status, json]).toEqual([401, REFUSED]);
  expect(new Set(refused.map(({ text }) => text)).size).toBe(1);
  expect((await post({ email: "ann@example.com", password: "s3cret" })).status).toBe(202);
});

withServer.each(["$2a$", "$2b$", "$2y$"])(
  `a stored %s hash logs in, and is renewed at the cost of today ${NEEDS}`,
  async (prefix) => {
    const email = `${prefix.slice(1, 3)}@example.com`;
    await addUser(email, hashOf("s3cret", 4).replace("$2b$", prefix));
    expect((await post({ email, password: "s3cret" })).status).toBe(202);
    const stored = async () => String((await sql`select password from users where email = ${email}`)[0]?.["password"]);
    await until("renewed", async () => (await stored()).startsWith("$2b$06$"));
    expect((await post({ email, password: "s3cret" })).status).toBe(202);
    expect((await post({ email, password: "s3cret!" })).status).toBe(401);
  },
);

withServer(`two passwords that are equal in their first 72 bytes are two passwords ${NEEDS}`, async () => {
  const long = "a".repeat(72);
  await addUser("long@example.com", hashOf(long));
  expect((await post({ email: "long@example.com", password: long })).status).toBe(202);
  expect((await post({ email: "long@example.com", password: `${long}b` })).status).toBe(401);
});

withServer.each([
  ["not JSON", "{bad", 400],
  ["two values", '{"email":"a","password":"b"} {}', 400],
  ["nothing", "", 400],
  ["null", "null", 422],
  ["a list", "[]", 422],
  ["no password", '{"email":"a"}', 422],
  ["no e-mail", '{"password":"a"}', 422],
  ["an empty password", '{"email":"a","password":""}', 422],
  ["a number for a password", '{"email":"a","password":1}', 422],
  ["an object for an e-mail", '{"email":{"$ne":""},"password":"a"}', 422],
  ["a very long password", `{"email":"a","password":"${"p".repeat(1_025)}"}`, 422],
  ["a very long e-mail", `{"email":"${"e".repeat(256)}","password":"a"}`, 422],
  ["__proto__", '{"__proto__":{},"email":"a","password":"b"}', 422],
  ["nesting of 100,000", "[".repeat(100_000) + "]".repeat(100_000), 422],
  ["1 MiB and a byte", `"${"a".repeat(1_048_575)}"`, 413],
])(`a body that is or has %s is answered with its status ${NEEDS}`, async (_what, body, status) => {
  const reply = await post(body);
  expect(reply.status).toBe(status);
  expect(reply.json.error).toBe(true);
});

withServer(`other content types, methods and routes: 415, 405, 404 ${NEEDS}`, async () => {
  expect((await post({ email: "a", password: "b" }, { type: "text/plain" })).status).toBe(415);
  expect((await post({ email: "a", password: "b" }, { type: null })).status).toBe(415);
  expect((await fetch(`${app.url}/authenticate`)).status).toBe(405);
  expect((await fetch(`${app.url}/nowhere`)).status).toBe(404);
  const extra = { email: "ann@example.com", password: "s3cret", user_active: 0 };
  expect((await post(extra)).status).toBe(202);
});

withServer(
  `more logins than may wait: some are answered 503 with Retry-After, none is lost ${NEEDS}`,
  async () => {
    await using small = await begin({ HASH_WORKERS: "1", HASH_QUEUE: "2", BCRYPT_COST: "10" });
    await until("ready", () => isReady(small));
    const replies = await Promise.all(
      Array.from({ length: 12 }, () => post({ email: "nobody@example.com", password: "x" }, { at: small })),
    );
    const busy = replies.filter(({ status }) => status === 503);
    expect(busy.length).toBeGreaterThan(0);
    expect(busy.every(({ headers }) => headers.get("retry-after") === "1")).toBe(true);
    expect(replies.filter(({ status }) => status === 401).length).toBe(12 - busy.length);
    expect((await fetch(`${small.url}/ping`)).status).toBe(200);
  },
  20_000,
);

withServer(
  `an address that nobody has takes as long as a wrong password ${NEEDS}`,
  async () => {
    await using costly = await begin({ BCRYPT_COST: "9" });
    await until("ready", () => isReady(costly));
    await addUser("timed@example.com", hashOf("s3cret", 9));
    const times: Record<string, number[]> = {};
    // The quickest of each: noise only adds, so it is asked again until noise is gone.
    const evenness = (): number => {
      const [known = 0, unknown = 0] = Object.values(times).map((all) => Math.min(...all));
      return Math.min(known, unknown) / Math.max(known, unknown);
    };
    for (let round = 0; round < 60 && (round < 5 || evenness() < 0.8); round += 1) {
      for (const email of ["timed@example.com", "unknown@example.com"]) {
        const startedAt = performance.now();
        await post({ email, password: "guess" }, { at: costly });
        (times[email] ??= []).push(performance.now() - startedAt);
      }
    }
    expect(evenness()).toBeGreaterThan(0.8);
  },
  30_000,
);

withServer(
  `four replicas on an empty database: one schema, one signing key, tokens good everywhere ${NEEDS}`,
  async () => {
    const name = `${databaseName}_replicas`;
    await admin`create database ${admin(name)}`;
    const replicas = await Promise.all(
      Array.from({ length: 4 }, () => begin({ DATABASE_URL: databaseUrl(name), HASH_WORKERS: "1" })),
    );
    await Promise.all(replicas.map((replica) => until("ready", () => isReady(replica))));
    const sets = await Promise.all(
      replicas.map(({ url }) => fetch(`${url}/.well-known/jwks.json`).then((reply) => reply.text())),
    );
    expect(new Set(sets).size).toBe(1);
    expect((JSON.parse(sets[0] ?? "") as { keys: unknown[] }).keys.length).toBe(1);
    await Promise.all(replicas.map((replica) => replica[Symbol.asyncDispose]()));
    await admin`drop database ${admin(name)} with (force)`;
  },
  30_000,
);

/** What PostgreSQL is reached through, so that it can be away. */
function gate(port: number) {
  const sockets = new Set<Socket>();
  const listener = createServer((client) => {
    const upstream = connect({ host: server.hostname, port: Number(server.port || 5_432) });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
      from.pipe(to);
    }
  });
  return new Promise<{ port: number; close: () => Promise<void> }>((resolve) => {
    listener.listen(port, "127.0.0.1", () =>
      resolve({
        port: (listener.address() as { port: number }).port,
        close: () =>
          new Promise((closed) => {
            for (const socket of sockets) socket.destroy();
            listener.close(() => closed());
          }),
      }),
    );
  });
}

withServer(
  `PostgreSQL away at the start, there, away, there: 503 meanwhile, well again within 5 s ${NEEDS}`,
  async () => {
    const first = await gate(0);
    await first.close();
    await using late = await begin({ DATABASE_URL: databaseUrl(databaseName, `127.0.0.1:${first.port}`) });
    const login = () => post({ email: "ann@example.com", password: "s3cret" }, { at: late });
    for (let round = 0; round < 2; round += 1) {
      await until("not ready", async () => !(await isReady(late)));
      const away = await login();
      expect([away.status, away.headers.get("retry-after")]).toEqual([503, "2"]);
      expect(away.text).not.toContain(String(first.port));
      expect((await fetch(`${late.url}/ping`)).status).toBe(200);
      const back = await gate(first.port);
      await until("ready", () => isReady(late), 5_000);
      expect((await login()).status).toBe(202);
      await back.close();
    }
  },
  40_000,
);

withServer(
  `the development user is added once, and is left as he is ${NEEDS}`,
  async () => {
    const name = `${databaseName}_seed`;
    await admin`create database ${admin(name)}`;
    expect(await seedDevelopmentUser(databaseUrl(name))).toBe("created");
    expect(await seedDevelopmentUser(databaseUrl(name))).toBe("present");
    const env = { DATABASE_URL: databaseUrl(name), HASH_WORKERS: "1", AUTH_SECRET: "x".repeat(32) };
    await using seeded = await begin(env);
    await until("ready", () => isReady(seeded));
    expect((await post(DEVELOPMENT_USER, { at: seeded })).status).toBe(202);
    await using strict = await begin({ ...env, ENVIRONMENT: "production" });
    await until("ready", () => isReady(strict));
    expect((await post(DEVELOPMENT_USER, { at: strict })).status).toBe(401);
    await strict[Symbol.asyncDispose]();
    await seeded[Symbol.asyncDispose]();
    await admin`drop database ${admin(name)} with (force)`;
  },
  30_000,
);

withServer(
  `a users table of an older installation is kept with its rows ${NEEDS}`,
  async () => {
    const name = `${databaseName}_older`;
    await admin`create database ${admin(name)}`;
    const older = postgres(databaseUrl(name), { max: 1, onnotice: () => undefined });
    await older.unsafe(`
    create table users (id integer generated always as identity primary key, email character varying(255),
      first_name character varying(255), last_name character varying(255), password character varying(60),
      user_active integer default 0, created_at timestamp without time zone, updated_at timestamp without time zone);
    insert into users (email, first_name, last_name, password, user_active, created_at, updated_at) values
      ('admin@example.com', 'Admin', 'User', '$2a$12$1zGLuYDDNvATh4RA4avbKuheAMpb1svexSzrQm7up.bnpwQHs0jNe', 1,
       '2022-03-14 00:00:00', null)`);
    await using kept = await begin({ DATABASE_URL: databaseUrl(name), HASH_WORKERS: "1" });
    await until("ready", () => isReady(kept));
    const reply = await post(DEVELOPMENT_USER, { at: kept });
    expect(reply.json.data).toMatchObject({
      first_name: "Admin",
      created_at: "2022-03-14T00:00:00.000Z",
      updated_at: "2022-03-14T00:00:00.000Z",
    });
    await older.end();
    await kept[Symbol.asyncDispose]();
    await admin`drop database ${admin(name)} with (force)`;
  },
  30_000,
);
