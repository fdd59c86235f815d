/** New places of sign-ins, by logging in over real HTTP; mails as they lie in the outbox. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { NEEDS, startAuth, type TestAuth, withServer } from "../service.test-kit.ts";
import { add, lettersTo, PASSWORD } from "../users/users.test-kit.ts";
import { deviceOf, ipOf } from "./client-words.ts";

setDefaultTimeout(30_000);
let auth: TestAuth;
beforeAll(async () => {
  if (process.env["TEST_POSTGRES_URL"] !== undefined) auth = await startAuth({ PUBLIC_URL: "https://app.example.com" });
});
afterAll(() => auth?.[Symbol.asyncDispose]());

const CHROME =
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1";

/** @param address as the broker tells it; default: whoever calls. */
const logIn = async (email: string, agent: string, address?: string): Promise<void> => {
  const headers =
    address === undefined ? { "user-agent": agent } : { "x-client-address": address, "x-client-agent": agent };
  const { status } = await auth.post("/authenticate", { email, password: PASSWORD }, headers);
  expect(status).toBe(202);
};
const devicesTold = async (email: string) => (await lettersTo(auth, email)).map(({ variables }) => variables["device"]);

withServer(`a new place is told, a known one and the first one of all are not ${NEEDS}`, async () => {
  const { email } = await add(auth);
  await logIn(email, CHROME);
  await logIn(email, CHROME.replace("140", "141"));
  expect(await devicesTold(email)).toEqual([]);
  await logIn(email, FIREFOX);
  await logIn(email, FIREFOX);
  const [letter, ...more] = await lettersTo(auth, email);
  expect([letter?.template, more.length]).toEqual(["new-sign-in", 0]);
  expect(letter?.variables).toEqual({
    address: email,
    at: expect.stringMatching(/Z$/),
    ip: "127.0.0.1",
    device: "Firefox on Linux",
    sessions_url: "https://app.example.com/sessions",
  });
});

withServer(`where more than three places are new within an hour nothing is sent ${NEEDS}`, async () => {
  const { id, email } = await add(auth);
  for (const agent of [CHROME, FIREFOX, IPHONE, "curl/8", "wget/1"]) await logIn(email, agent);
  expect(await devicesTold(email)).toEqual(["Firefox on Linux", "Safari on iPhone"]);
  await auth.sql`update sessions set created_at = created_at - interval '2 hours' where user_id = ${id}`;
  await logIn(email, `${CHROME} Edg/140.0.0.0`);
  expect((await devicesTold(email)).at(-1)).toBe("Edge on Windows");
});

withServer(`through the broker: the client's network counts, not the broker's ${NEEDS}`, async () => {
  const { email } = await add(auth);
  await logIn(email, CHROME, "203.0.113.7");
  await logIn(email, CHROME, "203.0.113.200");
  expect(await lettersTo(auth, email)).toEqual([]);
  await logIn(email, CHROME, "2001:db8::7");
  expect((await lettersTo(auth, email)).map(({ variables }) => variables["ip"])).toEqual(["2001:db8::7"]);
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

test("an address is told as one, or not at all", () => {
  const told = ["unknown", "fe80::1%eth0", "::ffff:203.0.113.7", "evil.example"].map(ipOf);
  expect(told).toEqual([undefined, "fe80::1", "203.0.113.7", undefined]);
});
