/** Breaking the platform from the page: one fault by keyboard alone, and a verdict that is what an independent count says. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { START_MS, until } from "../kit.ts";
import { type Console, HAS_BROWSER, openConsole } from "./console.test-kit.ts";

/** Longest that one short fault takes with healing, draining and counting (ms). */
const VERDICT_MS = 120_000;

describe.skipIf(!HAS_BROWSER)("Break it (needs the backing services and a Chromium)", () => {
  let open: Console;

  beforeAll(async () => {
    open = await openConsole({ chaos: true });
  }, START_MS);
  afterAll(() => open?.[Symbol.asyncDispose](), 60_000);

  /** A figure of the line that says where everything is. */
  const figureOf = (text: string, word: string): number =>
    Number((new RegExp(`([\\d,]+) ${word}`).exec(text)?.[1] ?? "0").replaceAll(",", ""));

  test(
    "the logger is killed by keyboard alone: nothing is lost, and the verdict is what the stores say",
    async () => {
      const page = await open.page("/console/break");
      const kill = page.getByRole("button", { name: "kill logger" });
      await kill.waitFor({ timeout: 20_000 });
      expect(await open.axe(page)).toEqual([]);
      await open.picture(page, "break");
      await page.getByLabel("For how long").fill("2");
      await kill.focus();
      await page.keyboard.press("Enter");
      await page.waitForURL(/\/console\/break\/[0-9a-f-]{36}$/);
      await page.getByText("It is broken").waitFor();
      await page.getByText(/^Nothing was lost, nothing came twice/).waitFor({ timeout: VERDICT_MS });

      const law = (await page.locator(".law").textContent()) ?? "";
      const named = await open.platform.entries
        .find({ name: /^chaos-/ }, { projection: { name: 1, event_id: 1 } })
        .toArray();
      const mails = (await open.platform.inbox()).filter(({ Subject }) => Subject.startsWith("chaos-"));
      expect(new Set(named.map(({ name }) => name)).size).toBe(named.length);
      expect(figureOf(law, "delivered")).toBe(mails.length);
      expect(figureOf(law, "lost")).toBe(0);
      expect(figureOf(law, "accepted")).toBe(figureOf(law, "stored") + figureOf(law, "delivered"));
      // Hits have no name of ours: they are events of the broker, and told apart by their ids.
      const hits = figureOf(law, "stored") - named.length;
      const events = await open.platform.entries.countDocuments({ name: "broker_hit" });
      expect(hits).toBeGreaterThan(0);
      expect(hits).toBeLessThanOrEqual(events);

      const [kept] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: "Keep as Markdown" }).click(),
      ]);
      expect(kept.suggestedFilename()).toEndWith(".md");
      await open.picture(page, "break-verdict");
      expect(await open.axe(page)).toEqual([]);
      await page.getByRole("link", { name: "All parts and faults" }).click();
      await page.getByText("kill of logger").first().waitFor();
      await page.context().close();
      expect(open.complaints).toEqual([]);
    },
    VERDICT_MS + 60_000,
  );

  test(
    "a fault is ended at once by the button, and all is well again",
    async () => {
      const page = await open.page("/console/break", { dark: true, width: 360 });
      await page.getByLabel("For how long").fill("60");
      await page.getByRole("button", { name: "freeze mail" }).click();
      const end = page.getByRole("button", { name: "End the fault now" });
      await end.waitFor({ timeout: 30_000 });
      expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
      await end.click();
      await page.getByText(/^Nothing was lost, nothing came twice/).waitFor({ timeout: VERDICT_MS });
      expect(await open.axe(page)).toEqual([]);
      await until(
        "well",
        async () => {
          const answer = await fetch(`${open.platform.url("broker")}/v1/health`);
          return ((await answer.json()) as { message: string }).message === "All is well";
        },
        30_000,
      );
      await page.context().close();
      expect(open.complaints).toEqual([]);
    },
    VERDICT_MS + 60_000,
  );
});
