/** Who the user of a session is, remembered: changes are heard of whoever makes them, and Redis is not believed. */
import { expect } from "bun:test";
import { Secret } from "#shared/config";
import { HAS_REDIS, NEEDS_REDIS, startRedis } from "#shared/redis-testing";
import { makeMetrics } from "#shared/telemetry";
import { makeRedis } from "#shared/redis";
import { NEEDS, startAuth, type TestAuth, until, withServer } from "./service.test-kit.ts";

/** Longer than a test: what is forgotten is forgotten because of its change. */
const LONG = { USER_CACHE_MS: "5000" };

async function loggedIn(auth: TestAuth, email: string) {
  const hash = await Bun.password.hash("s3cret", { algorithm: "bcrypt", cost: 4 });
  await auth.sql`insert into users (email, password, user_active, last_name) values (${email}, ${hash}, 1, 'before')`;
  const { json } = await auth.post("/authenticate", { email, password: "s3cret" });
  const headers = { authorization: `Bearer ${String(json.data["access_token"])}` };
  return { id: Number(json.data["id"]), session: String(json.data["session_id"]), headers };
}

async function readsOf(url: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const found = text.matchAll(/cache_reads_total\{[^}]*from="(\w+)"[^}]*\} (\d+)/g);
  return Object.fromEntries(Array.from(found, ([, from, times]) => [from, Number(times)]));
}

withServer(
  `a token that is used often is looked up once; a change in the table is heard at every replica ${NEEDS}`,
  async () => {
    await using auth = await startAuth(LONG);
    const other = await auth.begin();
    try {
      const { id, session, headers } = await loggedIn(auth, "ann@example.com");
      const nameAt = async (app = auth.app) => (await auth.get("/me", headers, app)).json.data?.["last_name"];
      for (let asked = 0; asked < 20; asked += 1) expect(await nameAt()).toBe("before");
      expect(await readsOf(auth.app.url)).toEqual({ source: 1, process: 19 });
      expect(await nameAt(other)).toBe("before");

      await auth.sql`update users set last_name = 'after' where id = ${id}`;
      for (const app of [auth.app, other])
        await until("the change is heard", async () => (await nameAt(app)) === "after", 2_000);
      await auth.sql`insert into registrations (user_id, saga_id, mail_id, content_hash)
      values (${id}, ${Bun.randomUUIDv7()}, ${Bun.randomUUIDv7()}, '')`;
      await auth.sql`update registrations set state = 'complete' where user_id = ${id}`;
      await until(
        "the registration's end is heard",
        async () => (await auth.get("/me", headers)).json.data["registration"] === "complete",
        2_000,
      );
      // A login of his is no change.
      const reads = await readsOf(auth.app.url);
      await auth.sql`update users set last_login_at = now() where id = ${id}`;
      expect(await nameAt()).toBe("after");
      expect((await readsOf(auth.app.url))["source"]).toBe(reads["source"] ?? 0);

      await auth.sql`update sessions set ended_at = now(), end_reason = 'revoked' where id = ${session}`;
      for (const app of [auth.app, other])
        await until("the end is heard", async () => (await auth.get("/me", headers, app)).status === 401, 2_000);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  },
);

withServer(`deactivated, deleted: neither lives on in memory ${NEEDS}`, async () => {
  await using auth = await startAuth(LONG);
  const ann = await loggedIn(auth, "ann@example.com");
  const bob = await loggedIn(auth, "bob@example.com");
  for (const { headers } of [ann, bob]) expect((await auth.get("/me", headers)).status).toBe(200);
  await auth.sql`update users set user_active = 0 where id = ${ann.id}`;
  await auth.sql`delete from users where id = ${bob.id}`;
  for (const { headers } of [ann, bob])
    await until("refused", async () => (await auth.get("/me", headers)).status === 401, 2_000);
});

withServer(`after a lost connection everything is looked up again ${NEEDS}`, async () => {
  await using auth = await startAuth(LONG);
  const { id, headers } = await loggedIn(auth, "ann@example.com");
  await auth.get("/me", headers);
  // Nobody is told of what happens in the same moment.
  await auth.sql.begin(async (sql) => {
    await sql`alter table users disable trigger tell_changed`;
    await sql`update users set last_name = 'unheard' where id = ${id}`;
    await sql`alter table users enable trigger tell_changed`;
  });
  await auth.sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and query ilike 'listen%' and pid <> pg_backend_pid()`;
  await until(
    "listening again",
    async () => (await auth.get("/me", headers)).json.data?.["last_name"] === "unheard",
    4_000,
  );
});

withServer(
  `replicas share what they know over Redis, sealed; what is forged, old or of another is not believed ${NEEDS} ${NEEDS_REDIS}`,
  async () => {
    if (!HAS_REDIS) return;
    await using server = await startRedis();
    await using auth = await startAuth({ ...LONG, REDIS_URL: server.url });
    const other = await auth.begin();
    const metrics = makeMetrics("test", "0");
    metrics[Symbol.dispose]();
    const dependency = { up: () => undefined, down: () => undefined };
    await using redis = makeRedis({ url: new Secret(server.url), name: "test", metrics, dependency });
    try {
      const isUp = async (url: string): Promise<boolean> =>
        (await (await fetch(`${url}/metrics`)).text()).includes('dependency_up{dependency="redis",service="auth"} 1');
      await until("Redis in use", async () => redis.up && (await isUp(auth.app.url)) && (await isUp(other.url)));
      const ann = await loggedIn(auth, "ann@example.com");
      const bob = await loggedIn(auth, "bob@example.com");
      for (const { headers } of [ann, bob]) await auth.get("/me", headers);
      const keyOf = ({ id, session }: typeof ann): string => `cache:session_users:${id}/${session}`;
      await until("it is in Redis", async () => {
        const found = await redis.command("EXISTS", keyOf(ann), keyOf(bob));
        return found.ok && found.value === 2;
      });
      expect((await auth.get("/me", ann.headers, other)).json.data?.["email"]).toBe("ann@example.com");
      expect(await readsOf(other.url)).toEqual({ redis: 1 });

      // Nothing of him is to be read there.
      const lying = await redis.command("GET", keyOf(bob));
      const text = lying.ok ? Buffer.from(String(lying.value).slice(2), "base64").toString("latin1") : "";
      expect(text.length).toBeGreaterThan(100);
      for (const secret of ["bob", "$2", "member"]) expect(text).not.toContain(secret);
      // Ann's entry, put in Bob's place, makes nobody Ann.
      const stolen = await redis.command("GET", keyOf(ann));
      if (stolen.ok) await redis.command("SET", keyOf(bob), String(stolen.value), "PX", "60000");
      const answer = await auth.get("/me", bob.headers, other);
      expect(answer.json.data?.["email"]).toBe("bob@example.com");
      expect(await readsOf(other.url)).toEqual({ redis: 1, source: 1 });

      // A change ends it in Redis too, and a Redis that is gone is not waited for.
      await auth.sql`update users set last_name = 'after' where id = ${ann.id}`;
      for (const app of [auth.app, other])
        await until(
          "heard",
          async () => (await auth.get("/me", ann.headers, app)).json.data?.["last_name"] === "after",
          2_000,
        );
      await server.kill();
      await auth.sql`update users set last_name = 'later' where id = ${ann.id}`;
      for (const app of [auth.app, other])
        await until(
          "heard",
          async () => (await auth.get("/me", ann.headers, app)).json.data?.["last_name"] === "later",
          2_000,
        );
    } finally {
      await other[Symbol.asyncDispose]();
    }
  },
);
