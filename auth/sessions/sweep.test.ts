/** What is over is removed from a real PostgreSQL. */
import { expect, setDefaultTimeout } from "bun:test";
import { Secret } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { makeDatabase } from "#shared/postgres";
import { NEEDS, startAuth, until, withServer } from "../service.test-kit.ts";
import { startSweep } from "./sweep.ts";

setDefaultTimeout(30_000);

withServer(`what is over goes, what may matter stays ${NEEDS}`, async () => {
  await using auth = await startAuth();
  const { sql } = auth;
  const { id: user } = await auth.addUser();
  const session = (id: string, days: number) => sql`
    insert into sessions (id, user_id, expires_at) values (${id}, ${user}, now() + ${days} * interval '1 day')`;
  const token = (id: string, hash: string, days: number) => sql`
    insert into refresh_tokens (token_hash, session_id, expires_at) values (${hash}, ${id}, now() + ${days} * interval '1 day')`;
  const [gone, over, live] = [Bun.randomUUIDv7(), Bun.randomUUIDv7(), Bun.randomUUIDv7()];
  await session(gone, -91);
  await session(over, -1);
  await session(live, 5);
  await token(live, "live: used, and not over", 5);
  await token(live, "over", -1);
  for (const [subject, seconds] of [
    ["over", -1],
    ["matters", 60],
  ] as const) {
    await sql`insert into revocations (id, kind, subject, expires_at)
      values (gen_random_uuid(), 'session', ${subject}, now() + ${seconds} * interval '1 second')`;
  }
  await sql`update signing_keys set retired_at = now() - interval '1 hour'`;
  await sql`insert into signing_keys (kid, public_jwk, private_jwk, retired_at) values ('old', '{}', '', now() - interval '2 days')`;

  const runtime = makeRuntime("sweep", silentLog, () => undefined);
  await using database = makeDatabase({
    url: new Secret(auth.databaseUrl),
    name: "sweep",
    log: silentLog,
    metrics: runtime.metrics,
    dependency: runtime.health.dependency("postgres"),
    migrations: [],
    maxConnections: 2,
  });
  await using _sweep = startSweep({ database, log: silentLog, everyMs: 20 });
  // The last one of a round.
  await until("swept", async () => (await sql`select 1 from signing_keys where kid = 'old'`).length === 0);
  const left = async (rows: Promise<readonly Record<string, unknown>[]>): Promise<unknown[]> =>
    (await rows).map((row) => Object.values(row)[0]);
  expect(await left(sql`select id from sessions order by id`)).toEqual([over, live]);
  expect(await left(sql`select convert_from(token_hash, 'UTF8') from refresh_tokens`)).toEqual([
    "live: used, and not over",
  ]);
  expect(await left(sql`select subject from revocations`)).toEqual(["matters"]);
  expect(await left(sql`select count(*)::int from signing_keys`)).toEqual([1]);
});
