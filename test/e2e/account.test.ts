/** A user's account through the whole platform: mails that really leave, their links, the audit that is left of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { LoginReply, ManagedUser } from "#contracts/auth";
import { HAS_BACKING, type Platform, START_MS, startPlatform, until } from "../kit.ts";

const PUBLIC_URL = "https://app.example.com";

describe.skipIf(!HAS_BACKING)("accounts (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  beforeAll(async () => {
    platform = await startPlatform({ env: { BCRYPT_COST: "4", PUBLIC_URL } });
  }, START_MS);
  afterAll(() => platform?.[Symbol.asyncDispose](), 60_000);

  const post = (path: string, body: unknown) => platform.post("broker", `/v1${path}`, body);
  async function call(method: string, path: string, token: string, body?: unknown) {
    const answer = await fetch(`${platform.url("broker")}/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as { message: string; data?: unknown } };
  }
  const login = async (email: string, password: string): Promise<LoginReply> => {
    const answer = await post("/sessions", { email, password });
    expect(answer.body.message).toBe(`Logged in user ${email}`);
    return answer.body.data as LoginReply;
  };
  /** The token in the newest mail of that subject to an address. */
  const tokenFrom = (email: string, subject: string): Promise<string> =>
    until(
      `"${subject}" to ${email}`,
      async () => {
        const found = (await platform.inbox()).find(
          (mail) => mail.Subject === subject && mail.To[0]?.Address === email,
        );
        if (found === undefined) return undefined;
        const { Text } = await platform.inboxMail(found.ID);
        return new RegExp(`${PUBLIC_URL}/(?:verify-address|reset-password)#token=([\\w-]{43})\\s`).exec(
          String(Text),
        )?.[1];
      },
      20_000,
    );

  test("registered, verified, forgotten, chosen anew, found and deactivated by an administrator", async () => {
    const email = `account-${process.pid}@example.com`;
    const registered = await post("/users", { email, password: "a first secret" });
    expect(registered.status).toBe(201);
    const { id } = registered.body.data as { id: number };
    const verified = await post("/email-verifications/confirm", {
      token: await tokenFrom(email, "Confirm your address"),
    });
    expect(verified).toMatchObject({ status: 200, body: { message: "Address verified" } });
    const first = await login(email, "a first secret");
    expect(first.email_verified).toBe(true);

    const asked = await Promise.all([
      post("/password-resets", { email }),
      post("/password-resets", { email: "nobody@example.com" }),
    ]);
    expect(asked.map(({ status }) => status)).toEqual([202, 202]);
    expect(asked[0]?.body).toEqual(asked[1]?.body ?? {});
    const token = await tokenFrom(email, "Choose a new password");
    expect((await post("/password-resets/confirm", { token, new_password: "password1" })).status).toBe(422);
    expect((await post("/password-resets/confirm", { token, new_password: "a second secret" })).status).toBe(200);
    await until("the session has ended", async () => (await call("GET", "/me", first.access_token)).status === 401);
    const second = await login(email, "a second secret");
    await until(
      "the mail that tells him",
      async () =>
        (await platform.inbox()).some(
          (mail) => mail.Subject === "Your password was changed" && mail.To[0]?.Address === email,
        ),
      20_000,
    );

    const admin = await login("admin@example.com", "verysecret");
    const found = await call("GET", `/users?q=${encodeURIComponent(email)}`, admin.access_token);
    const [user] = (found.body.data as { items: ManagedUser[] }).items;
    expect(user).toMatchObject({ id, email, role: "member", email_verified: true });
    expect((await call("GET", "/users", second.access_token)).status).toBe(403);
    const off = await call("PATCH", `/users/${id}`, admin.access_token, { version: user?.version, active: false });
    expect([off.status, (off.body.data as ManagedUser).active]).toEqual([200, 0]);
    await until("locked out", async () => (await call("GET", "/me", second.access_token)).status === 401);
    expect((await post("/sessions", { email, password: "a second secret" })).status).toBe(401);
    expect((await call("DELETE", `/users/${id}`, admin.access_token)).status).toBe(200);

    const actions = ["user.registered", "user.address_verified", "user.password_reset", "user.changed", "user.deleted"];
    await until(
      "the audit",
      async () => {
        const entries = await platform.entries.find({ name: "audit", "data.user_id": id }).toArray();
        const seen = new Set(entries.map(({ data }) => (data as { action: string }).action));
        return actions.every((action) => seen.has(action));
      },
      20_000,
    );
  }, 90_000);

  test("the pages that links lead to are there, under the policy that the other pages have", async () => {
    for (const path of ["/verify-address", "/reset-password", "/sessions"]) {
      const page = await fetch(`${platform.url("broker")}${path}`);
      expect([path, page.status]).toEqual([path, 200]);
      expect(page.headers.get("content-security-policy")).toContain("script-src 'self'");
      expect(await page.text()).toContain("/assets/account.js");
    }
  });
});
