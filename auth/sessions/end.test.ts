/** What ends sessions, and what is written with it, on a real PostgreSQL. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { Secret } from "#shared/config";
import { makeSealer } from "../keys.ts";
import { makeOutbox, type Parcel } from "../outbox/outbox.ts";
import { NEEDS, startAuth, type TestAuth, withServer } from "../service.test-kit.ts";
import { makeEnding } from "./end.ts";

setDefaultTimeout(30_000);
let auth: TestAuth | undefined;
const running = (): TestAuth => {
  if (auth === undefined) throw new Error("not started");
  return auth;
};
beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] !== undefined) auth = await startAuth();
});
afterAll(() => auth?.[Symbol.asyncDispose]());

const sealer = makeSealer(new Secret("s"), "outbox");
const ending = makeEnding(makeOutbox(sealer));

/** A user with this many sessions. */
async function userWith(count: number): Promise<{ id: number; sessions: string[] }> {
  const { sql } = running();
  const [user] = await sql<{ id: number }[]>`
    insert into users (email, password, user_active) values (${`${Bun.randomUUIDv7()}@example.com`}, 'x', 1) returning id`;
  const id = user?.id ?? 0;
  const sessions = Array.from({ length: count }, () => Bun.randomUUIDv7());
  for (const session of sessions) {
    await sql`insert into sessions (id, user_id, expires_at) values (${session}, ${id}, now() + interval '1 day')`;
  }
  return { id, sessions };
}
const endedOf = (userId: number) => running().sql<{ id: string; end_reason: string }[]>`
  select id, end_reason from sessions where user_id = ${userId} and ended_at is not null order by id`;

/** What `change` left in the outbox, opened. It is in hand of no relay: it was sealed with another secret. */
async function parcelsOf(subjects: readonly string[]): Promise<Parcel[]> {
  const rows = await running().sql<{ id: string; body: Uint8Array }[]>`
    select o.id, o.body from outbox o join revocations r on r.id = o.id where r.subject in ${running().sql([...subjects])} order by r.subject`;
  return rows.map(({ id, body }) => JSON.parse(sealer.open(body, id) ?? "null") as Parcel);
}

withServer(`all sessions but one end, each with its revocation, in one transaction ${NEEDS}`, async () => {
  const { id, sessions } = await userWith(3);
  const [kept = "", ...others] = sessions;
  const ended = await running().sql.begin((sql) => ending.endSessionsOf(sql, id, "password", kept));
  expect(ended).toBe(2);
  expect((await endedOf(id)).map((row) => [row.id, row.end_reason])).toEqual(others.map((one) => [one, "password"]));
  const revoked = await running().sql<{ subject: string; minutes: number }[]>`
    select subject, extract(epoch from expires_at - at)::float8 / 60 as minutes from revocations
    where subject in ${running().sql(sessions)} order by subject`;
  expect(revoked.map((row) => [row.subject, row.minutes])).toEqual(others.map((one) => [one, 11]));
  const parcels = await parcelsOf(sessions);
  expect(parcels).toMatchObject(
    others.map((one) => ({ to: "identity", key: "session.revoked", body: { subject: one } })),
  );
  // Twice is once.
  expect(await running().sql.begin((sql) => ending.endSessionsOf(sql, id, "password", kept))).toBe(0);
  expect(await running().sql.begin((sql) => ending.endSession(sql, id, kept, "logout"))).toBe(true);
  expect(await running().sql.begin((sql) => ending.endSession(sql, id, kept, "logout"))).toBe(false);
});

withServer(`what is rolled back ended nothing and tells nothing ${NEEDS}`, async () => {
  const { id, sessions } = await userWith(1);
  const gone = running().sql.begin(async (sql) => {
    await ending.endSessionsOf(sql, id, "revoked");
    throw new Error("changed my mind");
  });
  expect(await gone.catch(() => "rolled back")).toBe("rolled back");
  expect(await endedOf(id)).toHaveLength(0);
  expect(await parcelsOf(sessions)).toEqual([]);
});

withServer(`another user's session is not his to end ${NEEDS}`, async () => {
  const ann = await userWith(1);
  const bob = await userWith(1);
  const ended = running().sql.begin((sql) => ending.endSession(sql, bob.id, ann.sessions[0] ?? "", "revoked"));
  expect(await ended).toBe(false);
});

withServer(`a user's revocation has his new access version ${NEEDS}`, async () => {
  const revocation = await running().sql.begin((sql) =>
    ending.revoke(sql, { kind: "user", subject: "900001", accessVersion: 4 }),
  );
  expect(revocation).toMatchObject({ kind: "user", subject: "900001", access_version: 4 });
  expect(await parcelsOf(["900001"])).toEqual([{ to: "identity", key: "user.changed", body: revocation }]);
});
