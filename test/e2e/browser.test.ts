/** The first page in a real browser: every button, an edited body, a page of another origin, no violation of the policy. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { HAS_BACKING, type Platform, START_MS, startPlatform, until } from "../kit.ts";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];
const executable = [
  process.env["CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));

describe.skipIf(!HAS_BACKING || executable === undefined)(
  "the first page (needs the backing services and a Chromium)",
  () => {
    let platform: Platform;
    let browser: Browser;
    let page: Page;
    const complaints: string[] = [];

    beforeAll(async () => {
      platform = await startPlatform();
      browser = await chromium.launch({
        ...(executable === undefined ? {} : { executablePath: executable }),
        args: FLAGS,
      });
      page = await browser.newPage();
      page.on("console", (message) => {
        // The browser itself reports each 4xx as an error: those are asked for here.
        if (message.type() === "error" && !message.text().includes("Failed to load resource"))
          complaints.push(message.text());
      });
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("requestfailed", (request) => complaints.push(`${request.url()} failed`));
      await page.goto(platform.url("broker"));
    }, START_MS);
    afterAll(async () => {
      await browser?.close();
      await platform?.[Symbol.asyncDispose]();
    }, 60_000);

    /** Path and fragment of the link in the newest mail of that subject to an address. */
    const linkFrom = (email: string, subject: string): Promise<string> =>
      until(
        `"${subject}" to ${email}`,
        async () => {
          const mails = await platform.inbox();
          const found = mails.find((mail) => mail.Subject === subject && mail.To[0]?.Address === email);
          const text = found === undefined ? "" : String((await platform.inboxMail(found.ID))["Text"]);
          return /\/(?:verify-address|reset-password)#token=[\w-]{43}/.exec(text)?.[0];
        },
        20_000,
      );

    const outcome = () => page.locator("#outcome").textContent();
    const received = () => page.locator("#received").textContent();
    const done = (tone: string) => page.locator(`#status.${tone}`).waitFor({ timeout: 15_000 });

    test.each([
      ["Test broker", "200", "Hit the Broker"],
      ["Test auth", "202", "Authenticated!"],
      ["Test log", "202", "Logged via RPC: Processing succeeded"],
      ["Test mail", "202", "Message sent to you@there.com"],
      ["Test batch", "207", "Unknown action!!!"],
    ])(
      "%s answers %s, sent and received side by side",
      async (button, status, message) => {
        await page.getByRole("button", { name: button }).click();
        await done("good");
        expect(await outcome()).toStartWith(status);
        expect(await received()).toContain(message);
        expect(await page.locator("#body").inputValue()).toStartWith(button === "Test batch" ? "[" : "{");
      },
      20_000,
    );

    test("an edited body is sent as it stands, by keyboard alone, and refused in the broker's words", async () => {
      await page.locator("#body").fill('{"action":"log","log":{"name":"<img src=x onerror=alert(1)>"}}');
      await page.locator("#body").press("Control+Enter");
      await done("bad");
      expect(await outcome()).toStartWith("422");
      expect(await received()).toContain("log.data is needed");
      await page.locator("#body").fill("{bad");
      expect(await page.locator("#hint").textContent()).toContain("Not JSON");
      await page.getByRole("button", { name: /^Send/ }).click();
      await page.waitForFunction(`document.querySelector("#outcome").textContent.startsWith("400")`);
      expect(await received()).toContain('"error": true');
    }, 20_000);

    test("the links lead to the inbox and to the API, which is drawn from its description", async () => {
      expect(await page.getByRole("link", { name: "Inbox" }).getAttribute("href")).toBe(
        platform.stack.backing.get("smtp")?.current.web ?? "",
      );
      await page.getByRole("link", { name: "API" }).click();
      await page.getByRole("heading", { name: "POST /handle" }).waitFor();
      expect(complaints).toEqual([]);
    }, 20_000);

    test("a page of another origin can send what the original's buttons send, and read the answer", async () => {
      using other = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: () => new Response("<p>other</p>", { headers: { "content-type": "text/html" } }),
      });
      const foreign = await browser.newPage();
      await foreign.goto(other.url.href);
      const name = await foreign.evaluate(async (broker) => {
        const answer = await fetch(`${broker}/handle`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ action: "auth", auth: { email: "admin@example.com", password: "verysecret" } }),
        });
        return ((await answer.json()) as { data: { first_name: string } }).data.first_name;
      }, platform.url("broker"));
      expect(typeof name).toBe("string");
      expect(name.length).toBeGreaterThan(0);
      await foreign.close();
    }, 20_000);

    test("links of mails lead to pages that do what they say, once somebody asks for it", async () => {
      const email = `browser-${process.pid}@example.com`;
      const registered = await platform.post("broker", "/v1/users", { email, password: "a first secret" });
      expect(registered.status).toBe(201);
      const visitor = await browser.newPage();
      const open = async (subject: string) => {
        const path = await linkFrom(email, subject);
        await visitor.goto(platform.url("broker") + path);
        // The token is not left where it is bookmarked or sent on.
        await visitor.waitForURL((url) => url.hash === "");
      };
      const says = (text: string) => visitor.getByText(text).waitFor({ timeout: 15_000 });
      await open("Confirm your address");
      await visitor.getByRole("button", { name: "Confirm the address" }).click();
      await says("Address verified");

      await visitor.goto(`${platform.url("broker")}/reset-password`);
      await visitor.getByLabel("E-mail address").fill(email);
      await visitor.keyboard.press("Enter");
      await says("If the address is that of a user, a mail is on its way to it");
      await open("Choose a new password");
      await visitor.getByLabel(/^New password/).fill("password1");
      await visitor.keyboard.press("Enter");
      await says("choose another one");
      await visitor.getByLabel(/^New password/).fill("a second secret");
      await visitor.keyboard.press("Enter");
      await visitor.locator("#account form").waitFor({ state: "detached" });

      await visitor.goto(`${platform.url("broker")}/sessions`);
      await visitor.getByLabel("E-mail address").fill(email);
      await visitor.getByLabel("Password", { exact: true }).fill("a second secret");
      await visitor.keyboard.press("Enter");
      await visitor.getByText("this one").waitFor({ timeout: 15_000 });
      const picture = process.env["SCREENSHOTS"];
      if (picture !== undefined) await visitor.screenshot({ path: `${picture}/sessions.png` });
      await visitor.getByRole("button", { name: "End" }).click();
      await visitor.getByText("this one").waitFor({ state: "detached" });
      await visitor.close();
      expect(complaints).toEqual([]);
    }, 90_000);

    test("it fits a narrow screen", async () => {
      await page.setViewportSize({ width: 360, height: 740 });
      await page.goto(platform.url("broker"));
      expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
      const picture = process.env["SCREENSHOTS"];
      if (picture !== undefined) {
        await page.screenshot({ path: `${picture}/first-page-360.png`, fullPage: true });
        await page.setViewportSize({ width: 1280, height: 900 });
        await page.getByRole("button", { name: "Test auth" }).click();
        await done("good");
        await page.screenshot({ path: `${picture}/first-page.png` });
        await page.emulateMedia({ colorScheme: "dark" });
        await page.screenshot({ path: `${picture}/first-page-dark.png` });
      }
    }, 20_000);
  },
);
