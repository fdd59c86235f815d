/** What an older installation has goes on working after the migrations, on a real PostgreSQL. */
import { expect, setDefaultTimeout } from "bun:test";
import postgres from "postgres";
import type { TokenReply } from "#contracts/auth";
import { Secret } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeDatabase } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { MIGRATIONS } from "./migrations.ts";
import { NEEDS, startAuth, withServer } from "./service.test-kit.ts";
import { hashOf, newToken } from "./keys.ts";

setDefaultTimeout(30_000);

withServer(`who is logged in stays so when sessions and refresh tokens part ${NEEDS}`, async () => {
  await using auth = await startAuth();
  const url = new URL(auth.databaseUrl);
  url.pathname += "_old";
  const name = url.pathname.slice(1);
  await auth.sql`create database ${auth.sql(name)}`;
  const old = postgres(url.href, { max: 1, onnotice: () => undefined });
  try {
    const runtime = makeRuntime("old", silentLog, () => undefined);
    const before = makeDatabase({
      url: new Secret(url.href),
      name: "old",
      log: silentLog,
      metrics: runtime.metrics,
      dependency: runtime.health.dependency("postgres"),
      migrations: MIGRATIONS.filter(({ version }) => version < 5),
      maxConnections: 2,
    });
    expect((await before.ready(Deadline.after(10_000))).ok).toBe(true);
    await before[Symbol.asyncDispose]();
    await old`insert into users (email, password, user_active) values ('ann@example.com', 'x', 1)`;
    const [token, session] = [newToken(), Bun.randomUUIDv7()];
    await old`
      insert into sessions (id, user_id, family, token_hash, expires_at)
      values (gen_random_uuid(), 1, ${session}, ${hashOf(token)}, now() + interval '3 days')`;
    await using app = await auth.begin({ DATABASE_URL: url.href });
    const reply = await auth.post("/sessions/refresh", { refresh_token: token }, {}, app);
    expect(reply.status).toBe(200);
    const tokens = reply.json.data as unknown as TokenReply;
    expect(tokens.session_id).toBe(session);
    expect((await auth.ask("GET", "/me", tokens.access_token, undefined, app)).json.data).toMatchObject({
      id: 1,
      role: "member",
    });
  } finally {
    await old.end();
    await auth.sql`drop database if exists ${auth.sql(name)} with (force)`;
  }
});
