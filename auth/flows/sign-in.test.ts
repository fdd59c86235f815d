/** New places of sign-ins, with sessions in a real PostgreSQL; mails as they lie in the outbox. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Secret } from "#shared/config";
import { makeSealer } from "../keys.ts";
import { makeOutbox } from "../outbox/outbox.ts";
import { NEEDS, startAuth, type TestAuth, withServer } from "../service.test-kit.ts";
import { add, lettersTo } from "../users/users.test-kit.ts";
import { deviceOf, ipOf, networkOf } from "./client-words.ts";
import { makeSignIns } from "./sign-in.ts";

setDefaultTimeout(30_000);
let auth: TestAuth;
beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] !== undefined) auth = await startAuth();
});
afterAll(() => auth?.[Symbol.asyncDispose]());

const CHROME =
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1";

/** Signs in as a login does: the session is added, and told of in the same transaction. */
async function signIn(user: { id: number; email: string }, address?: string, agent?: string, first = false) {
  const signIns = makeSignIns(makeOutbox(makeSealer(new Secret("development only, known to everybody"), "outbox")), {
    from: "hello@app.example.com",
    publicUrl: "https://app.example.com",
  });
  return auth.sql.begin(async (sql) => {
    const sessionId = Bun.randomUUIDv7();
    await sql`insert into sessions (id, user_id, expires_at, address, agent)
      values (${sessionId}, ${user.id}, now() + interval '1 hour', ${address ?? null}, ${agent ?? null})`;
    return signIns.tell(
      sql,
      { ...user, lastLoginAt: first ? null : new Date() },
      { sessionId, ...(address === undefined ? {} : { address }), ...(agent === undefined ? {} : { agent }) },
    );
  });
}

withServer(`a new place is told, a known one and the first one of all are not ${NEEDS}`, async () => {
  const ann = await add(auth);
  expect(await signIn(ann, "203.0.113.7", CHROME, true)).toBe(false);
  expect(await signIn(ann, "203.0.113.200", CHROME.replace("140", "141"))).toBe(false);
  expect(await signIn(ann, "198.51.100.9", CHROME)).toBe(true);
  expect(await signIn(ann, "203.0.113.7", FIREFOX)).toBe(true);
  expect(await signIn(ann, undefined, IPHONE)).toBe(false);
  const letters = await lettersTo(auth, ann.email);
  expect(letters.map(({ template, variables }) => [template, variables])).toEqual([
    [
      "new-sign-in",
      {
        address: ann.email,
        at: expect.stringMatching(/Z$/),
        ip: "198.51.100.9",
        device: "Chrome on Windows",
        sessions_url: "https://app.example.com/sessions",
      },
    ],
    ["new-sign-in", expect.objectContaining({ ip: "203.0.113.7", device: "Firefox on Linux" })],
  ]);
});

withServer(`more than three new places an hour are not told ${NEEDS}`, async () => {
  const ann = await add(auth);
  const told: boolean[] = [];
  for (let n = 0; n < 6; n += 1) told.push(await signIn(ann, `10.0.${n}.1`, CHROME));
  expect(told).toEqual([true, true, true, false, false, false]);
  await auth.sql`update sessions set created_at = created_at - interval '2 hours' where user_id = ${ann.id}`;
  expect(await signIn(ann, "10.1.0.1", CHROME)).toBe(true);
});

test("agents become words that cannot look like a link", () => {
  for (const [agent, words] of [
    [CHROME, "Chrome on Windows"],
    [FIREFOX, "Firefox on Linux"],
    [IPHONE, "Safari on iPhone"],
    [`${CHROME} Edg/140.0.0.0`, "Edge on Windows"],
    ["curl/8.1", "curl"],
    ["see https://evil.example/Windows NT", "Windows"],
    ["evil.example", undefined],
    [undefined, undefined],
  ] as const)
    expect([agent, deviceOf(agent)]).toEqual([agent, words]);
});

test("neighbours share a network", () => {
  for (const [address, network] of [
    ["203.0.113.7", "203.0.113"],
    ["::ffff:203.0.113.7", "203.0.113"],
    ["2001:db8:1:2::9", "2001:db8:1"],
    ["2001:0DB8:0001::", "2001:db8:1"],
    ["2001::9", "2001:0:0"],
    ["::1", "0:0:0"],
    ["fe80::1%eth0", "fe80:0:0"],
    ["unknown", "unknown"],
  ] as const)
    expect([address, networkOf(address)]).toEqual([address, network]);
  expect([ipOf("unknown"), ipOf("fe80::1%eth0"), ipOf("::ffff:203.0.113.7")]).toEqual([
    undefined,
    "fe80::1",
    "203.0.113.7",
  ]);
});
