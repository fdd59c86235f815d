/** The page of the platform: each part with what it does, what is away in a sentence, and a page for each part. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startLoad, makeCalls } from "../../dev/chaos/load.ts";
import { makeHistory } from "../../dev/chaos/history.ts";
import { seeded } from "../../dev/chaos/random.ts";
import { START_MS, until } from "../kit.ts";
import { type Console, HAS_BROWSER, openConsole } from "./console.test-kit.ts";

/** Figures are looked at every 5 s (ms). */
const FIGURES_MS = 30_000;
const HEAL_MS = 60_000;
const ADMIN = { email: "admin@example.com", password: "verysecret" };

describe.skipIf(!HAS_BROWSER)("Platform (needs the backing services and a Chromium)", () => {
  let open: Console;
  beforeAll(async () => {
    open = await openConsole();
  }, START_MS);
  afterAll(() => open?.[Symbol.asyncDispose](), 60_000);

  test("every part is on the map, with its state in a word; the table says the same", async () => {
    const page = await open.page("/console/platform");
    await page.getByText("All is well").first().waitFor();
    for (const name of [
      "broker",
      "auth",
      "logger",
      "mail",
      "listener",
      "RabbitMQ",
      "PostgreSQL",
      "MongoDB",
      "mail server",
    ])
      await page.getByRole("link", { name: `${name} ✓ up` }).waitFor();
    await page.getByText("The same as a table").click();
    await page.getByRole("region", { name: "Parts" }).getByRole("link", { name: "listener" }).waitFor();
    expect(await open.axe(page)).toEqual([]);
    await page.context().close();
  }, 60_000);

  test("work is seen: rates of parts and ways, and charts that have figures already", async () => {
    const { platform } = open;
    const random = seeded(1);
    const calls = makeCalls(platform, makeHistory(platform), random);
    const load = startLoad({
      rate: 20,
      random,
      mix: [
        [calls.log, 4],
        [calls.mail, 1],
        [calls.hit, 2],
      ],
    });
    try {
      const page = await open.page("/console/platform");
      await page.getByRole("link", { name: /^broker ✓ up [\d.]+\/s/ }).waitFor({ timeout: FIGURES_MS });
      const way = page.getByRole("region", { name: "Ways" }).getByRole("row", { name: /^broker logger rpc/ });
      await page.getByText("The same as a table").click();
      await until(
        "calls to the logger",
        async () => Number(await way.getByRole("cell").nth(3).textContent()) > 0,
        FIGURES_MS,
      );
      const requests = page.getByRole("figure").filter({ hasText: /^Requests/ });
      await until(
        "the chart has figures",
        async () => Number(await requests.getByRole("cell").first().textContent()) > 0,
        FIGURES_MS,
      );
      const now = page.getByRole("region", { name: "Now" });
      await until(
        "entries are stored",
        async () => /entries stored[1-9]/.test((await now.textContent()) ?? ""),
        FIGURES_MS,
      );
      await open.picture(page, "platform");
      await page.context().close();
      const dark = await open.page("/console/platform", { dark: true });
      await dark.getByRole("link", { name: /^broker ✓ up [\d.]+\/s/ }).waitFor({ timeout: FIGURES_MS });
      expect(await open.axe(dark)).toEqual([]);
      await open.picture(dark, "platform-dark");
      await dark.context().close();
      const narrow = await open.page("/console/platform", { width: 360 });
      await narrow.getByText("All is well").first().waitFor();
      expect(await narrow.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
      await open.picture(narrow, "platform-narrow");
      await narrow.context().close();
    } finally {
      await load.stop();
    }
  }, 120_000);

  test(
    "the logger is killed: it is told in a sentence with its moment, the broker does without, and both are mended",
    async () => {
      const page = await open.page("/console/platform");
      const part = open.platform.stack.part("logger");
      part.kill("SIGKILL");
      await part.stop();
      await page.getByText("logger does not answer").waitFor({ timeout: 20_000 });
      const line = page.getByRole("listitem").filter({ hasText: "broker does without logger" });
      await line.waitFor();
      expect(await line.textContent()).toMatch(/since .*\((just now|.* ago)\)/);
      expect(await open.axe(page)).toEqual([]);
      await open.picture(page, "platform-away");
      await page.getByRole("link", { name: "logger does not answer" }).click();
      await page.getByRole("heading", { name: "logger", level: 1 }).waitFor();
      await page.getByText("It is not as it should be").waitFor();
      await part.start();
      await page.getByText("It is not as it should be").waitFor({ state: "detached", timeout: HEAL_MS });
      await page.getByRole("link", { name: "All parts" }).click();
      await page.getByRole("main").getByText("All is well").waitFor({ timeout: HEAL_MS });
      await page.context().close();
    },
    2 * HEAL_MS,
  );

  test("each part has its page with charts, dependencies and ways; how far back is in the address", async () => {
    const page = await open.page("/console/platform/broker?window=300");
    await page.getByRole("tab", { name: "5 min", exact: true, selected: true }).waitFor();
    await page.getByRole("figure").filter({ hasText: "Resident memory" }).waitFor({ timeout: FIGURES_MS });
    await page.getByRole("region", { name: "Dependencies" }).getByRole("link", { name: "RabbitMQ" }).waitFor();
    await page.getByRole("tab", { name: "5 min", exact: true }).focus();
    await page.keyboard.press("ArrowRight");
    await page.getByRole("tab", { name: "15 min", selected: true }).waitFor();
    expect(new URL(page.url()).search).toBe("");
    expect(await open.axe(page)).toEqual([]);
    await open.picture(page, "service");
    await page.getByRole("region", { name: "Dependencies" }).getByRole("link", { name: "RabbitMQ" }).click();
    await page.getByRole("heading", { name: "RabbitMQ", level: 1 }).waitFor();
    await page.getByRole("figure").filter({ hasText: "Messages that wait" }).waitFor({ timeout: FIGURES_MS });
    await page.context().close();
    const nothing = await open.page("/console/platform/nobody");
    await nothing.getByText('The platform has no part "nobody".').waitFor();
    await nothing.context().close();
  }, 90_000);

  test("how much a log says is changed by keyboard alone, and undone", async () => {
    const page = await open.page("/console/platform/auth", { dark: true, width: 360 });
    const levels = page.getByRole("region", { name: "How much its log says" });
    await levels.getByText("info and worse").waitFor();
    expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
    await levels.getByLabel("Level").selectOption("error");
    await levels.getByRole("button", { name: "Change" }).focus();
    await page.keyboard.press("Enter");
    await levels.getByText(/^error and worse until/).waitFor();
    expect(await open.axe(page)).toEqual([]);
    await page.getByRole("button", { name: "Undo" }).click();
    await levels.getByText("info and worse").waitFor();
    await page.context().close();
  }, 60_000);

  test("who may only look can't change it, and is told why", async () => {
    const { platform } = open;
    const viewer = { email: "viewer@example.com", password: "a viewer's secret" };
    await platform.post("broker", "/v1/users", viewer);
    const page = await open.page("/console/sign-in?next=/console/platform/mail");
    await page.getByLabel("E-mail").fill(viewer.email);
    await page.getByLabel("Password").fill(viewer.password);
    await page.keyboard.press("Enter");
    await page
      .getByText(/It takes the right|You may not see/)
      .first()
      .waitFor();
    await page.context().close();
    const admin = await platform.post("broker", "/v1/sessions", ADMIN);
    expect(admin.status).toBe(201);
  }, 60_000);

  test(
    "the broker is away: what was there stays, and the page says that it is old; then it goes on",
    async () => {
      const page = await open.page("/console/platform");
      await page.getByRole("link", { name: /^broker ✓ up/ }).waitFor();
      const part = open.platform.stack.part("broker");
      await part.stop();
      await page.getByText(/This is how the parts are as of/).waitFor({ timeout: 20_000 });
      await page.getByRole("link", { name: /^listener ✓ up/ }).waitFor();
      await part.start();
      await page.getByText(/This is how the parts are as of/).waitFor({ state: "detached", timeout: HEAL_MS });
      await page.context().close();
    },
    2 * HEAL_MS,
  );

  test("no page has complained", () => {
    expect(open.complaints).toEqual([]);
  });
});
