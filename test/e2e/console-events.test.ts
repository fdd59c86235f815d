/** Queues and dead letters in the console: made for real, looked at, sent again until they are stored, dropped, and who did it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { LOGS_EXCHANGE } from "#contracts/events";
import { rabbitmqctl } from "../faults/rabbit.ts";
import { START_MS, until } from "../kit.ts";
import { type Console, HAS_BROWSER, openConsole } from "./console.test-kit.ts";

interface Published {
  readonly id: string;
  readonly body: string;
  /** Default: `log.INFO`. */
  readonly key?: string;
  readonly headers?: Record<string, string>;
}

const EVIL = `<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=1</script>`;

describe.skipIf(!HAS_BROWSER)("Events in the console (needs the backing services and a Chromium)", () => {
  let open: Console;

  beforeAll(async () => {
    open = await openConsole();
    const policy = JSON.stringify({ "alternate-exchange": "logs.unrouted" });
    await rabbitmqctl(open.platform, "set_policy", "unrouted", "^logs_topic$", policy, "--apply-to", "exchanges");
  }, START_MS);
  afterAll(() => open?.[Symbol.asyncDispose](), 60_000);

  async function publish(events: readonly Published[]): Promise<void> {
    const model = await open.platform.rabbit();
    const channel = await model.createConfirmChannel();
    for (const { id, body, key = "log.INFO", headers = {} } of events)
      channel.publish(LOGS_EXCHANGE, key, Buffer.from(body), { messageId: id, persistent: true, headers });
    await channel.waitForConfirms();
    await model.close();
  }
  /** How many are parked there, as the API tells. */
  async function parked(query: string): Promise<number> {
    const answer = await fetch(`${open.platform.url("broker")}/v1/events/dead-letters?limit=500&${query}`);
    return ((await answer.json()) as { data: { items: unknown[] } }).data.items.length;
  }
  const section = (page: Page) => page.getByRole("region", { name: "Parked", exact: true });
  const confirmed = async (page: Page, deed: string): Promise<void> => {
    await page.getByRole("dialog").getByRole("button", { name: deed, exact: true }).click();
  };

  test("the queues with what waits, who consumes and how much is done, and over time", async () => {
    const page = await open.page("/console/events");
    const row = page.getByRole("row", { name: /logs\.main\.v1/ });
    await row.waitFor({ timeout: 20_000 });
    const consumers = row.getByRole("cell").nth(5);
    await until("both workers consume", async () => (await consumers.textContent()) === "2", 20_000);
    await page.getByText("The last quarter of an hour").click();
    await page
      .getByRole("table", { name: /Messages that wait, by queue/ })
      .waitFor({ state: "attached", timeout: 20_000 });
    await page.getByRole("table", { name: /Messages dealt with/ }).waitFor({ state: "attached" });
    await page.context().close();
  }, 60_000);

  test("a broken event is parked: its reason, text and headers by keyboard alone, nothing of it runs", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await publish([
      { id: "broken-1", body: `{"name":"${EVIL.replaceAll('"', "'")}"}`, headers: { traceparent, "x-evil": EVIL } },
    ]);
    await until("it is parked", async () => (await parked("parked=logs&id=broken-1")) === 1);
    const page = await open.page("/console/events?id=broken-1");
    const reason = section(page).getByRole("button", { name: /data is needed/ });
    await reason.waitFor({ timeout: 20_000 });
    await reason.focus();
    await page.keyboard.press("Enter");
    await section(page).getByRole("region", { name: "Message", exact: true }).getByText("onerror").waitFor();
    await section(page).getByText("x-evil").waitFor();
    expect(await section(page).getByRole("link", { name: "Its trace" }).getAttribute("href")).toBe(
      "/console/traces/0af7651916cd43dd8448eb211c80319c",
    );
    expect(await page.evaluate("globalThis.pwned")).toBeUndefined();
    expect(await open.axe(page)).toEqual([]);
    await open.picture(page, "events");
    await page.context().close();
    expect(open.complaints).toEqual([]);
  }, 60_000);

  test("what no queue wanted is sent again, and is stored; the log says who did it", async () => {
    await publish([{ id: "unrouted-1", key: "audit.login", body: JSON.stringify({ name: "late", data: { n: 1 } }) }]);
    await until("it is parked", async () => (await parked("parked=unrouted")) === 1);
    const page = await open.page("/console/events");
    await page.getByRole("tab", { name: /^Unrouted/ }).click();
    await page.waitForURL(/parked=unrouted/);
    await section(page).getByText("audit.login").waitFor();
    const pick = section(page).getByRole("checkbox", { name: "Pick unrouted-1" });
    await pick.focus();
    await page.keyboard.press("Space");
    const again = section(page).getByRole("button", { name: "Send again 1 picked" });
    await again.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByText("Send again: 1 message?").waitFor();
    await confirmed(page, "Send again: 1 message");
    await section(page).getByText("1 message sent again").waitFor();
    await section(page).getByText("Nothing is parked here.").waitFor();
    await until("it is stored", async () => (await open.platform.entries.findOne({ event_id: "unrouted-1" })) !== null);
    const link = section(page).getByRole("link", { name: "Its entry in the log" });
    const auditId = (await link.getAttribute("href"))?.split("/").at(-1) ?? "";
    expect(await open.platform.entries.findOne({ event_id: auditId })).toMatchObject({
      name: "audit",
      data: {
        action: "dead-letters.replay",
        phase: "begin",
        matched: 1,
        filter: { parked: "unrouted", ids: ["unrouted-1"] },
      },
    });
    await open.picture(page, "events-replayed");
    await page.context().close();
  }, 60_000);

  test("some are dropped, by their count, and what is left is shown; no is no", async () => {
    await publish(["a", "b", "c"].map((id) => ({ id: `drop-${id}`, body: `{"name":"drop-${id}"` })));
    await until("they are parked", async () => (await parked("parked=logs&error=JSON")) === 3);
    const page = await open.page("/console/events?parked=logs");
    await section(page).getByLabel("Reason contains").fill("json");
    await page.waitForURL(/error=json/);
    await section(page).getByRole("checkbox", { name: "Pick all that are shown" }).check();
    await section(page).getByRole("checkbox", { name: "Pick drop-b" }).uncheck();
    await section(page).getByRole("button", { name: "Drop 2 picked" }).click();
    await page.getByRole("dialog").getByText("can't be undone").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await parked("parked=logs&error=JSON")).toBe(3);
    await section(page).getByRole("button", { name: "Drop 2 picked" }).click();
    await confirmed(page, "Drop: 2 messages");
    await section(page).getByText("2 messages dropped").waitFor();
    await section(page).getByRole("checkbox", { name: "Pick drop-a" }).waitFor({ state: "detached" });
    await section(page).getByRole("checkbox", { name: "Pick drop-b" }).waitFor();
    expect(await parked("parked=logs&error=JSON")).toBe(1);
    const ended = await until("the audit entry", () =>
      open.platform.entries
        .findOne({ name: "audit", "data.action": "dead-letters.drop", "data.phase": "end" })
        .then((one) => one ?? undefined),
    );
    expect(ended.data).toMatchObject({ done: 2, left: 0 });
    await section(page).getByRole("button", { name: "Drop all that fit" }).click();
    await confirmed(page, "Drop: 1 message");
    await section(page).getByText("Nothing that is parked fits.").waitFor();
    // The one that does not fit is still there.
    expect(await parked("parked=logs")).toBe(1);
    await page.context().close();
  }, 60_000);

  test("many are sent again in steps that can be seen, each once", async () => {
    const many = Array.from({ length: 600 }, (_, at) => ({
      id: `many-${at}`,
      key: "audit.many",
      body: JSON.stringify({ name: "many", data: at }),
    }));
    await publish(many);
    await until("they are parked", async () => (await parked("parked=unrouted")) === 500, 20_000);
    const page = await open.page("/console/events?parked=unrouted");
    await section(page).getByRole("button", { name: "Show more" }).click();
    await section(page).getByRole("checkbox", { name: "Pick many-99", exact: true }).waitFor();
    await section(page).getByRole("button", { name: "Send again all of these" }).click();
    await confirmed(page, "Send again: 600 messages");
    await section(page).getByRole("progressbar").waitFor();
    await section(page).getByText("500 of 600 messages sent again so far").waitFor({ timeout: 30_000 });
    await section(page).getByText("600 messages sent again", { exact: true }).waitFor({ timeout: 30_000 });
    await section(page).getByText("Nothing is parked here.").waitFor();
    await until(
      "all are stored",
      async () => (await open.platform.entries.countDocuments({ name: "many" })) === 600,
      30_000,
    );
    await page.context().close();
  }, 120_000);

  test.each([false, true])(
    "axe finds nothing serious (dark: %p), and it fits a narrow screen",
    async (dark) => {
      const page = await open.page("/console/events", { dark, width: 360 });
      await section(page).getByRole("checkbox", { name: "Pick broken-1" }).check();
      await section(page)
        .getByRole("button", { name: /data is needed/ })
        .click();
      await page.getByRole("row", { name: /logs\.main\.v1/ }).waitFor();
      expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
      expect(await open.axe(page)).toEqual([]);
      await open.picture(page, dark ? "events-360-dark" : "events-360");
      await page.context().close();
      expect(open.complaints).toEqual([]);
    },
    60_000,
  );
});
