/** The log in the browser: asked by what is in the address, counted, kept, and followed while much of it comes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { loadavg } from "node:os";
import type { Page } from "playwright-core";
import { START_MS, until } from "../kit.ts";
import { type Console, HAS_BROWSER, openConsole } from "./console.test-kit.ts";

const MARKUP = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>";
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
/** Entries a second, and for how many seconds. */
const MANY = 500;
const MANY_S = 6;
/** Longest task of the page while they come (ms of its own computing): others share the machine. */
const TASK_MS = 100;
/** Of them so many are drawn. */
const DRAWN = 100;
/** Below this load (1 min) the machine is ours. */
const QUIET = 1.5;

describe.skipIf(!HAS_BROWSER)("Logs (needs the backing services and a Chromium)", () => {
  let open: Console;

  const store = (entries: readonly Record<string, unknown>[], headers: Record<string, string> = {}) =>
    open.platform.post("logger", "/logs", { entries }, headers);

  beforeAll(async () => {
    open = await openConsole();
    const orders = Array.from({ length: 60 }, (_one, number) => ({
      name: "order",
      data: { number, user: { id: number % 3 } },
    }));
    const answer = await store([
      ...orders,
      { name: "payment", severity: "ERROR", data: { text: "the card was declined" } },
      { name: "payment", severity: "WARNING", data: "late" },
      { name: MARKUP, data: { text: MARKUP } },
    ]);
    expect([answer.status, answer.body.message]).toEqual([207, "63 logged"]);
    await open.platform.post(
      "broker",
      "/handle",
      { action: "log", log: { name: "traced", data: "of a request" } },
      {
        traceparent: `00-${TRACE}-00f067aa0ba902b7-01`,
      },
    );
  }, START_MS);
  afterAll(() => open?.[Symbol.asyncDispose](), 60_000);

  const entries = (page: Page) => page.getByRole("list", { name: "Entries" }).getByRole("listitem");
  const shown = (page: Page, what: string, count: number) =>
    until(what, async () => (await entries(page).count()) === count, 20_000);

  test("asked by keyboard alone: words, a severity, a field; the address says it and brings it back", async () => {
    const page = await open.page("/console/logs");
    await shown(page, "the first page", 50);
    await page.getByLabel("Words").focus();
    await page.keyboard.type("card declined");
    await page.keyboard.press("Enter");
    await shown(page, "by words", 1);
    expect(new URL(page.url()).searchParams.get("q")).toBe("card declined");
    await page.getByLabel("Words").fill("");
    await page.getByRole("button", { name: "WARNING" }).focus();
    await page.keyboard.press("Enter");
    await page.getByText("late", { exact: true }).first().waitFor();
    await shown(page, "by severity", 1);
    await page.getByRole("button", { name: "WARNING" }).click();
    await page.getByLabel("Field of the data").fill("user.id=2");
    await shown(page, "by a field", 20);
    await page.reload();
    await shown(page, "after a reload", 20);
    expect(await page.getByLabel("Field of the data").inputValue()).toBe("user.id=2");
    await page.getByLabel("And field 2 of the data").fill("number=5");
    await shown(page, "by both fields", 1);
    await page.getByLabel("And field 3 of the data").fill("nonsense");
    await page.getByText("a path, =, and a value").waitFor();
    await page.goBack();
    await shown(page, "one step back", 20);
    await page.getByLabel("Name").fill("payment");
    await page.getByText("No entry is like that.").waitFor();
    expect(
      await page.locator("datalist option").evaluateAll((all) => all.map((one) => one.getAttribute("value"))),
    ).toContain("order");
    await page.getByText("By an id").click();
    await page.getByLabel("Trace").fill("no trace");
    await page.getByText("This can't be asked").waitFor();
    await page.getByText(/^trace_id/).waitFor();
    await page.context().close();
  }, 60_000);

  test("further pages, an entry opened, its own page with the trace that it came of", async () => {
    const page = await open.page("/console/logs?name=order");
    await shown(page, "the first page", 50);
    await page.getByRole("button", { name: "Show more" }).click();
    await shown(page, "all of them", 60);
    await page.getByText(/^60 of 60; the first page took \d/).waitFor();
    await entries(page).first().getByText("order").click();
    await page.getByRole("region", { name: "Data of order" }).first().waitFor();
    await open.picture(page, "logs");
    expect(await open.axe(page)).toEqual([]);
    await page.goto(`${open.platform.url("broker")}/console/logs?trace_id=${TRACE}`);
    await shown(page, "of the trace", 1);
    await entries(page).first().getByText("traced").click();
    await page
      .getByRole("link", { name: /^[0-9a-f-]{36}$/ })
      .first()
      .click();
    await page.getByRole("heading", { name: "traced" }).waitFor();
    await page.getByRole("heading", { name: /The request that it came of, / }).waitFor({ timeout: 20_000 });
    await open.picture(page, "entry");
    expect(await open.axe(page)).toEqual([]);
    await page.getByRole("link", { name: "of this name" }).last().click();
    await shown(page, "around it", 1);
    await page.goto(`${open.platform.url("broker")}/console/logs/never-stored`);
    await page.getByText("No entry has this id.").waitFor();
    expect(await page.getByRole("link", { name: "Its receipt" }).getAttribute("href")).toBe(
      "/console/receipts/never-stored",
    );
    expect(await open.axe(page)).toEqual([]);
    await page.context().close();
  }, 60_000);

  test("counts over time: a stretch that is marked is asked for", async () => {
    const page = await open.page("/console/logs", { dark: true });
    const counts = page.getByRole("region", { name: "How many, and when" });
    await counts
      .getByText(/entries in/)
      .first()
      .waitFor();
    await counts.getByRole("link", { name: "payment" }).waitFor();
    const box = await counts.locator(".u-over").boundingBox();
    if (box === null) throw new Error("there is no chart");
    await page.mouse.move(box.x + box.width * 0.2, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 20, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL(/from=.*to=/);
    await page.getByText("No entry is like that.").waitFor();
    expect(await page.getByLabel("From").inputValue()).toMatch(/^\d{4}-\d\d-\d\dT/);
    await page.getByLabel("When", { exact: true }).selectOption("all");
    await shown(page, "whenever", 50);
    await counts.getByText(/^Mark a stretch to ask for it\. Counted is the day from/).waitFor();
    expect(await open.axe(page)).toEqual([]);
    await open.picture(page, "logs-dark");
    await page.goBack();
    await page.getByText("No entry is like that.").waitFor();
    await page.goBack();
    await shown(page, "before it was marked", 50);
    await page.context().close();
  }, 60_000);

  test("a question that is saved survives a reload; forgotten, it comes back by Undo; an export is kept", async () => {
    const page = await open.page("/console/logs?severity=ERROR&name=payment");
    await page.getByText(/^Saved questions/).click();
    await page.getByLabel("Save this question as").fill("declined cards");
    await page.keyboard.press("Enter");
    await page.goto(`${open.platform.url("broker")}/console/logs`);
    await page.getByText("Saved questions (1)").click();
    await page.getByRole("link", { name: "declined cards" }).click();
    await page.waitForURL(/name=payment/);
    await shown(page, "what was saved", 1);
    await page.getByRole("button", { name: "Rename declined cards" }).focus();
    await page.keyboard.press("Enter");
    await page.getByLabel("New name").fill("cards");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Forget cards" }).click();
    await page.getByText('"cards" is forgotten').waitFor();
    await page.locator(".toast").filter({ hasText: "is forgotten" }).getByRole("button", { name: "Undo" }).click();
    await page.reload();
    await page.getByText("Saved questions (1)").click();
    await page.getByRole("link", { name: "cards", exact: true }).waitFor();
    const [kept] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export" }).click(),
    ]);
    await page.getByText(/KiB are kept as entries\.ndjson/).waitFor();
    const text = await Bun.file(await kept.path()).text();
    expect(
      text
        .trim()
        .split("\n")
        .map((line) => Object.keys(JSON.parse(line) as object)[0]),
    ).toEqual(["event_id", "$export"]);
    await page.context().close();
  }, 60_000);

  test("what others wrote is text, in the list, opened, on its own page and live", async () => {
    const page = await open.page(`/console/logs?name=${encodeURIComponent(MARKUP)}`);
    await shown(page, "the entry", 1);
    await entries(page).first().locator("summary").click();
    await page
      .getByRole("link", { name: /^[0-9a-f-]{36}$/ })
      .first()
      .click();
    await page.getByRole("heading", { name: "<img" }).waitFor();
    await page.goto(`${open.platform.url("broker")}/console/logs?live=1`);
    await page.getByText("✓ live").waitFor();
    await store([{ name: MARKUP, data: MARKUP }]);
    await shown(page, "it comes", 1);
    expect(await page.title()).not.toBe("run");
    expect(await page.locator("main img, main script").count()).toBe(0);
    await page.context().close();
  }, 60_000);

  test("live: what is stored is there at once; held, it waits and is counted", async () => {
    const page = await open.page("/console/logs?live=1&name=fresh", { width: 360 });
    await page.getByText("✓ live").waitFor();
    await store([
      { name: "fresh", data: 1 },
      { name: "other", data: 1 },
    ]);
    await shown(page, "the one that is asked for", 1);
    await page.getByRole("button", { name: "Hold" }).click();
    await store([
      { name: "fresh", data: 2 },
      { name: "fresh", data: 3 },
    ]);
    await page.getByText("! 2 more").waitFor();
    expect(await entries(page).count()).toBe(1);
    // What is held stands still: it can be opened.
    await entries(page).first().locator("summary").click();
    await page.getByRole("region", { name: "Data of fresh" }).waitFor();
    await page.getByRole("button", { name: "Hold" }).click();
    await shown(page, "what waited", 3);
    expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
    expect(await open.axe(page)).toEqual([]);
    await open.picture(page, "logs-live");
    await page.getByRole("button", { name: "Clear" }).click();
    await shown(page, "nothing", 0);
    await page.context().close();
  }, 60_000);

  test(`${MANY} entries a second: the page can be used meanwhile`, async () => {
    const page = await open.page("/console/logs?live=1&name=many");
    await page.getByText("✓ live").waitFor();
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable");
    await page.evaluate(`
        globalThis.longest = 0;
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
        }).observe({ type: "longtask" });
      `);
    const computed = async (): Promise<number> => {
      const { metrics } = await session.send("Performance.getMetrics");
      return metrics.find(({ name }) => name === "TaskDuration")?.value ?? 0;
    };
    const before = await computed();
    const beganAt = performance.now();
    const BATCH = 50;
    for (let sent = 0; sent < MANY * MANY_S; sent += BATCH) {
      const dueIn = beganAt + (sent / MANY) * 1_000 - performance.now();
      if (dueIn > 0) await Bun.sleep(dueIn);
      await store(Array.from({ length: BATCH }, (_one, index) => ({ name: "many", data: { number: sent + index } })));
    }
    const tookS = (performance.now() - beganAt) / 1_000;
    await page
      .getByText(`The newest ${DRAWN} of ${(MANY * MANY_S).toLocaleString("en-US")}`)
      .waitFor({ timeout: 30_000 });
    const longest = await page.evaluate<number>("globalThis.longest");
    const share = ((await computed()) - before) / tookS;
    console.log(
      `longest task ${Math.round(longest)} ms, ${Math.round(share * 100)} % of a core, ${Math.round((MANY * MANY_S) / tookS)} entries/s`,
    );
    // By the clock a task also lasts while others have the core.
    expect(longest).toBeLessThan((loadavg()[0] ?? 0) < QUIET ? TASK_MS : 6 * TASK_MS);
    expect(share).toBeLessThan(0.9);
    expect(await entries(page).count()).toBe(DRAWN);
    await page.context().close();
  }, 120_000);

  test("a connection that says nothing any more is broken: it is made again, and nothing is missing", async () => {
    let isSilent = false;
    let streams = 0;
    // As a network that has forgotten a connection: it stays open, and nothing comes.
    using way = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 60,
      async fetch({ url, headers, signal }) {
        const { pathname, search } = new URL(url);
        const place = headers.get("last-event-id");
        const answer = await fetch(open.platform.url("broker") + pathname + search, {
          headers: place === null ? {} : { "last-event-id": place },
          signal,
        });
        streams += 1;
        const isFirst = streams === 1;
        const kept = answer.body?.pipeThrough(
          new TransformStream<Uint8Array, Uint8Array>({
            transform(chunk, out) {
              if (!isFirst || !isSilent) out.enqueue(chunk);
            },
          }),
        );
        return new Response(kept ?? null, { headers: { "content-type": "text/event-stream" } });
      },
    });
    const page = await open.page("/console/logs");
    await page.route("**/v1/logs/tail?*", (route) => {
      const { pathname, search } = new URL(route.request().url());
      return route.continue({ url: way.url.origin + pathname + search });
    });
    await page.getByLabel("Name").fill("silent");
    await page.waitForURL(/name=silent/);
    await page.getByRole("button", { name: "Live" }).click();
    await page.getByText("✓ live").waitFor();
    await store([{ name: "silent", data: 1 }]);
    await shown(page, "the first", 1);
    isSilent = true;
    await store([{ name: "silent", data: 2 }]);
    await page.getByText(/nothing came for 20 s; tried again in/).waitFor({ timeout: 40_000 });
    await shown(page, "what was stored meanwhile, and the first not again", 2);
    await page.getByText("✓ live").waitFor();
    expect(streams).toBe(2);
    await page.context().close();
  }, 90_000);

  test("no page has complained", () => {
    expect(open.complaints).toEqual([]);
  });
});
