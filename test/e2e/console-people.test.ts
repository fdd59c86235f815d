/** People in the console: the session of the page, in one tab and in two; users, keys, and who may not. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { BrowserContext, Page } from "playwright-core";
import type { LoginReply, ManagedUser } from "#contracts/auth";
import { makeLoginCheap, START_MS, until } from "../kit.ts";
import { type Console, HAS_BROWSER, openConsole } from "./console.test-kit.ts";

const ADMIN = { email: "admin@example.com", password: "verysecret" };
const PASSWORD = "correct horse battery";
const MARKUP = `<img src=x onerror="document.title='ran'"><script>document.title='ran'</script>`;
/** Longest that all brokers take to hear of what ended, and some (ms). */
const HEARD_MS = 10_000;

describe.skipIf(!HAS_BROWSER)("people (needs the backing services and a Chromium)", () => {
  let open: Console;
  let admin: string;

  beforeAll(async () => {
    open = await openConsole({ env: { BCRYPT_COST: "4", LOGIN_THROTTLE: "on" } });
    await makeLoginCheap(open.platform, 4);
    admin = (await login(ADMIN)).access_token;
  }, START_MS);
  afterAll(() => open?.[Symbol.asyncDispose](), 60_000);

  async function login({ email, password }: { email: string; password: string }): Promise<LoginReply> {
    const answer = await open.platform.post("broker", "/v1/sessions", { email, password });
    expect(answer.status).toBe(201);
    return answer.body.data as LoginReply;
  }

  async function api<T>(method: string, path: string, body?: unknown, token = admin): Promise<T> {
    const answer = await fetch(open.platform.url("broker") + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return ((await answer.json()) as { data: T }).data;
  }

  let count = 0;
  /** A user of his own for a test. */
  async function newUser(
    names: Record<string, string> = {},
    patch: Record<string, unknown> = {},
  ): Promise<ManagedUser> {
    const email = `people-${process.pid}-${(count += 1)}@example.com`;
    const made = await open.platform.post("broker", "/v1/users", { email, password: PASSWORD, ...names });
    expect(made.status).toBe(201);
    const path = `/v1/users/${(made.body.data as { id: number }).id}`;
    const user = await api<ManagedUser>("GET", path);
    return Object.keys(patch).length === 0 ? user : api("PATCH", path, { version: user.version, ...patch });
  }

  async function signIn(page: Page, { email, password }: { email: string; password: string }): Promise<void> {
    await page.getByLabel("E-mail address").fill(email);
    await page.getByLabel("Password").fill(password);
    await page.keyboard.press("Enter");
  }
  /** A page of somebody who is signed in. */
  async function pageOf(email: string, path: string, options: { dark?: boolean; width?: number } = {}): Promise<Page> {
    const page = await open.page(`/console/sign-in?next=${encodeURIComponent(path)}`, options);
    await signIn(page, { email, password: email === ADMIN.email ? ADMIN.password : PASSWORD });
    await page.waitForURL(`**${path}`);
    return page;
  }
  const signedOut = (page: Page) => page.getByRole("banner").getByRole("link", { name: "Sign in" }).waitFor();
  const refreshCookie = async (context: BrowserContext) =>
    (await context.cookies(`${open.platform.url("broker")}/v1/sessions`)).find(
      ({ name }) => name === "platform_refresh",
    );

  test("sign in by keyboard alone; a wrong password says so and is selected; next leads to no other origin", async () => {
    const { email } = await newUser();
    const page = await open.page("/console/sign-in?next=//evil.example/");
    await page.getByLabel("E-mail address").focus();
    await page.keyboard.type(email);
    await page.keyboard.press("Tab");
    await page.keyboard.type("not this one");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("That was not right").waitFor();
    await page.getByText("The address or the password is wrong").waitFor();
    expect(await page.evaluate<string>("document.activeElement.type")).toBe("password");
    expect(await open.axe(page)).toEqual([]);
    await open.picture(page, "sign-in-wrong");
    // Selected: what is typed takes its place.
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Try it" }).waitFor();
    expect(new URL(page.url()).origin).toBe(open.platform.url("broker"));
    await page.context().close();
  }, 30_000);

  test("too many attempts: the wait is counted down, and then it can be tried again", async () => {
    const { email } = await newUser();
    // These are free (docs/limits.md).
    for (let attempt = 0; attempt < 10; attempt += 1)
      await open.platform.post("broker", "/v1/sessions", { email, password: "wrong" });
    const page = await open.page("/console/sign-in");
    await signIn(page, { email, password: "wrong" });
    const waiting = page.getByRole("button", { name: /^Sign in \(in \d+ s\)$/ });
    await waiting.waitFor();
    await page.getByText("Too many attempts").waitFor();
    expect(await waiting.isDisabled()).toBe(true);
    await open.picture(page, "sign-in-wait");
    await page.getByText("You can try again now").waitFor({ timeout: 30_000 });
    expect(await page.getByRole("main").getByRole("button", { name: "Sign in" }).isEnabled()).toBe(true);
    await page.context().close();
  }, 60_000);

  test("a reload keeps the session; no token is where scripts can read it, the cookie is HttpOnly", async () => {
    const { email } = await newUser();
    const page = await pageOf(email, "/console/people/you");
    await page.getByRole("heading", { name: "Your account" }).waitFor();
    const cookie = await refreshCookie(page.context());
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict", path: "/v1/sessions", secure: false });
    expect(cookie?.expires).toBeGreaterThan(Date.now() / 1_000 + 86_400);
    await page.reload();
    await page.getByRole("heading", { name: "Your account" }).waitFor();
    const next = await refreshCookie(page.context());
    expect(next?.value).not.toBe(cookie?.value);
    const readable = await page.evaluate<string>(
      "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])",
    );
    expect(readable).toContain(email);
    expect(readable).not.toMatch(/eyJ|token/);
    for (const secret of [cookie?.value, next?.value]) expect(readable).not.toContain(secret);
    await page.context().close();
  }, 30_000);

  test("a second tab has the session; both go on beside each other; sign-out in one signs out the other", async () => {
    const { email } = await newUser();
    const page = await pageOf(email, "/console/people/you");
    await page.getByRole("heading", { name: "Your account" }).waitFor();
    const second = await page.context().newPage();
    // Each load takes the next cookie: one at a time, so that nobody is logged out.
    for (let round = 0; round < 4; round += 1) {
      await Promise.all([page, second].map((tab) => tab.goto(`${open.platform.url("broker")}/console/people/you`)));
      await Promise.all([page, second].map((tab) => tab.getByRole("heading", { name: "Your account" }).waitFor()));
    }
    await page.getByRole("button", { name: "Sign out" }).click();
    await signedOut(page);
    await signedOut(second);
    await second.getByText("Sign in to see who you are").waitFor();
    await until("the cookie is gone", async () => (await refreshCookie(page.context())) === undefined);
    // And a login in one signs in the other.
    await page.goto(`${open.platform.url("broker")}/console/sign-in?next=/console/people/you`);
    await signIn(page, { email, password: PASSWORD });
    await second.getByRole("heading", { name: "Your account" }).waitFor();
    await page.context().close();
  }, 60_000);

  test("sessions: one is ended, all others are ended, one that was ended elsewhere says so", async () => {
    const { email } = await newUser();
    const others = [];
    for (let index = 0; index < 3; index += 1) others.push(await login({ email, password: PASSWORD }));
    const page = await pageOf(email, "/console/people/sessions");
    const rows = page.getByRole("table").locator("tbody tr");
    await page.getByText("this one").waitFor();
    expect(await rows.count()).toBe(4);
    await page.getByText("Chrome on Linux").waitFor();
    expect(await open.axe(page)).toEqual([]);
    await open.picture(page, "people-sessions");
    await page.getByRole("button", { name: "End", exact: true }).first().click();
    await page.getByRole("dialog").getByRole("button", { name: "End the session" }).click();
    await until("three", async () => (await rows.count()) === 3);
    await page.getByRole("button", { name: "End all others" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "End all others" }).click();
    await page.getByText("Ended 2; this one stays").waitFor();
    await until("one", async () => (await rows.count()) === 1);
    for (const { access_token } of others) {
      await until(
        "refused",
        async () =>
          (
            await fetch(`${open.platform.url("broker")}/v1/me`, {
              headers: { authorization: `Bearer ${access_token}` },
            })
          ).status === 401,
        HEARD_MS,
      );
    }
    const elsewhere = (await login({ email, password: PASSWORD })).access_token;
    await api("DELETE", "/v1/sessions", undefined, elsewhere);
    await page.reload();
    await page.getByText("Your session has ended: it was ended, or not used for too long").waitFor();
    await page.context().close();
  }, 60_000);

  test("you: a name is changed and undone, a password changed; other sessions end with it", async () => {
    const { email } = await newUser({ first_name: "Ann", last_name: "Other" });
    await login({ email, password: PASSWORD });
    const page = await pageOf(email, "/console/people/you");
    await page.getByLabel("First name").fill("Anna");
    await page.getByRole("button", { name: "Save the name" }).click();
    await page.getByRole("banner").getByRole("link", { name: "Anna Other" }).waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByRole("banner").getByRole("link", { name: "Ann Other" }).waitFor();
    await page.getByLabel("Current password").fill("not this one");
    await page.getByLabel("New password").fill("another good secret");
    await page.getByRole("button", { name: "Change the password" }).click();
    await page.getByText("The password is as it was").waitFor();
    await page.getByLabel("Current password").fill(PASSWORD);
    await page.getByRole("button", { name: "Change the password" }).click();
    await page.getByText(/Your password is changed/).waitFor();
    await login({ email, password: "another good secret" });
    await open.picture(page, "people-you");
    await page.context().close();
  }, 30_000);

  test("a user is found, gets another role, is seen in the audit, is disabled and enabled again", async () => {
    const user = await newUser({ first_name: "Rolf", last_name: `Role-${process.pid}` });
    const page = await pageOf(ADMIN.email, "/console/people/users");
    await page.getByLabel("Name or address").fill(`role-${process.pid}`);
    await page.waitForURL(/q=role/);
    await page.getByRole("link", { name: `Rolf Role-${process.pid}` }).click();
    await page.waitForURL(`**/console/people/users/${user.id}`);
    await page.getByRole("combobox", { name: "Role" }).selectOption("operator");
    await page.getByRole("button", { name: "Save the rights" }).click();
    await page.getByText(/is operator now/).waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    // Undone, and shown as it is now: the form is a new one.
    await page.getByText(`${user.id}, ${user.version + 2}`, { exact: true }).waitFor();
    await page.getByRole("combobox", { name: "Role" }).selectOption("operator");
    await page.getByRole("button", { name: "Save the rights" }).click();
    await until("operator", async () => (await api<ManagedUser>("GET", `/v1/users/${user.id}`)).role === "operator");
    await until(
      "the audit",
      async () => {
        const { items } = await api<{ items: { data: { action: string } }[] }>(
          "GET",
          `/v1/logs?name=audit&data.user_id=${user.id}`,
        );
        return items.filter(({ data }) => data.action === "user.changed").length === 3;
      },
      HEARD_MS,
    );
    await page.reload();
    await page.getByText("user.changed: role member → operator").first().waitFor();
    expect(await open.axe(page)).toEqual([]);
    await open.picture(page, "people-user");
    await page.getByRole("button", { name: "Disable" }).click();
    await page.getByText(/is disabled: all sessions have ended/).waitFor();
    const refused = await open.platform.post("broker", "/v1/sessions", { email: user.email, password: PASSWORD });
    expect(refused.status).toBe(401);
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByRole("button", { name: "Disable" }).waitFor();
    await login({ email: user.email, password: PASSWORD });
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete for good" }).click();
    await page.waitForURL("**/console/people/users");
    await page.context().close();
  }, 60_000);

  test("somebody is invited, with a role, and chooses a password by the link", async () => {
    const page = await pageOf(ADMIN.email, "/console/people/users");
    await page.getByRole("link", { name: "Invite somebody" }).click();
    const email = `invited-${process.pid}@example.com`;
    await page.getByLabel("E-mail address").fill(email);
    await page.getByLabel("First name").fill("Ida");
    await page.getByRole("combobox", { name: "Role" }).selectOption("operator");
    expect(await open.axe(page)).toEqual([]);
    await page.getByRole("button", { name: "Invite" }).click();
    await page.waitForURL(/\/users\/\d+$/);
    await page.getByRole("heading", { name: "Ida", level: 1 }).waitFor();
    const { items } = await api<{ items: ManagedUser[] }>("GET", `/v1/users?q=${email}`);
    expect(items[0]?.role).toBe("operator");
    await until(
      "the link",
      async () =>
        (await open.platform.inbox()).some(
          (mail) => mail.Subject === "Choose a new password" && mail.To[0]?.Address === email,
        ),
      20_000,
    );
    await page.context().close();
  }, 60_000);

  test("an API key is made, copied, used, rotated, revoked", async () => {
    const { email } = await newUser();
    const page = await pageOf(email, "/console/people/keys");
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByRole("link", { name: "Make a key" }).click();
    await page.getByLabel("Name").fill("build server");
    await page.getByRole("checkbox", { name: /logs:write/ }).check();
    expect(await page.getByRole("checkbox", { name: /users:manage/ }).isDisabled()).toBe(true);
    expect(await open.axe(page)).toEqual([]);
    await page.getByRole("button", { name: "Make the key" }).click();
    await page.getByRole("button", { name: "Copy the key" }).click();
    await open.picture(page, "people-key-made");
    const key = await page.evaluate<string>("navigator.clipboard.readText()");
    const log = { action: "log", log: { name: "by-key", data: "x" } };
    const use = async () => (await open.platform.post("broker", "/handle", log, { "x-api-key": key })).status;
    expect(await use()).toBe(202);
    await page.getByRole("link", { name: "All keys" }).click();
    await page.getByRole("cell", { name: /^build server/ }).waitFor();
    await open.picture(page, "people-keys");
    // Shown once: it is nowhere any more.
    expect(await page.content()).not.toContain(key);
    await page.getByRole("button", { name: "Rotate build server" }).click();
    await page.getByRole("button", { name: "Make the new key" }).click();
    await page.getByRole("button", { name: "I have kept it" }).click();
    await page.getByText("replaced, works still").waitFor();
    await page
      .getByRole("row", { name: /replaced/ })
      .getByRole("button", { name: "Revoke build server" })
      .click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke the key" }).click();
    await page.getByRole("cell", { name: "revoked", exact: true }).waitFor();
    await until("refused", async () => (await use()) === 401, HEARD_MS);
    await page.context().close();
  }, 60_000);

  test("who may look and not change sees barred buttons with the reason; who may not look is told which right it takes", async () => {
    const viewer = await newUser({}, { extra_scopes: ["users:read"] });
    const page = await pageOf(viewer.email, `/console/people/users?q=${viewer.email}`);
    const disable = page.getByRole("button", { name: `Disable ${viewer.email}` });
    await disable.waitFor();
    expect(await disable.getAttribute("aria-disabled")).toBe("true");
    // What a screen reader says of it.
    const described = await page.evaluate(
      `document.getElementById(document.querySelector("td.doing button").getAttribute("aria-describedby")).textContent`,
    );
    expect(described).toBe("It takes the right users:manage");
    await disable.press("Enter");
    await page.getByRole("status").getByText("It takes the right users:manage").waitFor();
    await page.getByRole("main").getByRole("link", { name: viewer.email }).click();
    await page.getByRole("button", { name: "Save the rights" }).waitFor();
    for (const name of ["Disable", "Delete", "Save", "Save the rights", "End all"]) {
      const button = page.getByRole("button", { name, exact: true });
      expect([name, await button.getAttribute("aria-disabled")]).toEqual([name, "true"]);
    }
    await page.getByText("You may not see the audit").waitFor();
    expect(await open.axe(page)).toEqual([]);
    await open.picture(page, "people-viewer");
    expect((await api<ManagedUser>("GET", `/v1/users/${viewer.id}`)).active).toBe(1);
    await page.context().close();

    const member = await newUser();
    const his = await pageOf(member.email, "/console/people/users");
    await his.getByText("You may not see the users").waitFor();
    await his.getByText("users:read").first().waitFor();
    await his.context().close();
  }, 60_000);

  test("markup in names is text, wherever it is shown", async () => {
    const user = await newUser({ first_name: MARKUP, last_name: MARKUP });
    const { access_token } = await login({ email: user.email, password: PASSWORD });
    await api("POST", "/v1/api-keys", { name: MARKUP.slice(0, 100), scopes: [] }, access_token);
    const page = await pageOf(user.email, "/console/people/you");
    for (const path of ["/console/people/you", "/console/people/keys", "/console/people/sessions"]) {
      await page.goto(open.platform.url("broker") + path);
      await page.getByRole("banner").getByText("<img src=x").waitFor();
      await page.getByRole("region").first().waitFor();
    }
    await page.context().close();
    const seen = await pageOf(ADMIN.email, `/console/people/users?q=${user.email}`);
    await seen.getByRole("link", { name: /^<img src=x/ }).click();
    await seen.getByRole("heading", { name: /^<img src=x/ }).waitFor();
    await seen.getByRole("cell", { name: /^<img src=x/ }).waitFor();
    await seen.getByRole("button", { name: "Delete" }).click();
    await seen.getByRole("dialog").getByText("<img src=x").waitFor();
    expect(await seen.title()).not.toBe("ran");
    expect(await seen.locator("main img, main script, dialog img").count()).toBe(0);
    await seen.context().close();
    expect(open.complaints).toEqual([]);
  }, 60_000);

  test.each([false, true])(
    "axe finds nothing serious (dark: %p), and all fits a narrow screen",
    async (dark) => {
      const user = await newUser({ first_name: "Narrow" });
      await login({ email: user.email, password: PASSWORD });
      const page = await pageOf(ADMIN.email, "/console/people/you", { dark, width: 360 });
      for (const [path, heading] of [
        ["you", "Your account"],
        ["sessions", "Your sessions"],
        ["users", "Users"],
        ["users/new", "Invite somebody"],
        [`users/${user.id}`, "Narrow"],
        ["keys", "API keys"],
        ["keys/new", "Make a key"],
      ] as const) {
        await page.goto(`${open.platform.url("broker")}/console/people/${path}`);
        await page.getByRole("heading", { name: heading }).first().waitFor();
        await until("all is loaded", async () => (await page.locator(".spinner").count()) === 0);
        expect([path, await page.evaluate<number>("document.documentElement.scrollWidth")]).toEqual([path, 360]);
        expect([path, await open.axe(page)]).toEqual([path, []]);
        await open.picture(page, `people-360-${path.replace("/", "-")}${dark ? "-dark" : ""}`);
      }
      await page.context().close();
      const stranger = await open.page("/console/people/you", { dark, width: 360 });
      await stranger.getByText("Sign in to see who you are").waitFor();
      expect(await open.axe(stranger)).toEqual([]);
      await stranger.context().close();
      expect(open.complaints).toEqual([]);
    },
    60_000,
  );

  test("auth away: nobody can sign in, and the page says why; whoever is signed in stays so", async () => {
    const { email } = await newUser();
    const page = await pageOf(email, "/console/people/you");
    await page.getByRole("heading", { name: "Your account" }).waitFor();
    const auth = open.platform.stack.part("auth");
    auth.kill("SIGKILL");
    await auth.stop();
    const other = await open.page("/console/sign-in");
    await signIn(other, { email, password: PASSWORD });
    await other.getByText("Nobody can sign in just now").waitFor({ timeout: 20_000 });
    await open.picture(other, "sign-in-away");
    await other.context().close();
    await page.reload();
    await page.getByText("Your session can't be renewed now").waitFor({ timeout: 20_000 });
    await auth.start();
    await until("auth ready", () => auth.state === "running", 30_000);
    await until(
      "the account",
      async () => {
        await page.getByRole("button", { name: "Try again" }).click({ timeout: 1_000 });
        await page.getByRole("heading", { name: "Your account" }).waitFor({ timeout: 2_000 });
        return true;
      },
      30_000,
    );
    await page.context().close();
    expect(open.complaints).toEqual([]);
  }, 120_000);
});
