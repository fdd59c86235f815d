/** Mails and templates in the console: followed to the inbox, decided, sent again; what they say is harmless to who looks at it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import postgres from "postgres";
import { START_MS, until } from "../kit.ts";
import { type Console, HAS_BROWSER, openConsole } from "./console.test-kit.ts";

const MAIL = { from: "shop@example.com", message: "It is on its way." };
const EVIL = `<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=1</script>`;

describe.skipIf(!HAS_BROWSER)("Mail in the console (needs the backing services and a Chromium)", () => {
  let open: Console;

  beforeAll(async () => {
    open = await openConsole({ hops: true });
  }, START_MS);
  afterAll(() => open?.[Symbol.asyncDispose](), 60_000);

  /** @returns its id. */
  async function send(mail: object): Promise<string> {
    const { status, body } = await open.platform.post("broker", "/v1/mails", { ...MAIL, ...mail });
    expect([status, body.message]).toEqual([202, body.message]);
    return (body.data as { id: string }).id;
  }
  const arrived = async (subject: string, to: string): Promise<number> =>
    (await open.platform.inbox()).filter(
      (one) => one.Subject === subject && one.To.some(({ Address }) => Address === to),
    ).length;
  const standsAt = (id: string, state: string): Promise<unknown> =>
    until(`${id} is ${state}`, async () => (await open.platform.outbox([id])).get(id) === state, 30_000);
  const letter = (page: Page) => page.frameLocator("iframe.letter");
  const decide = async (page: Page, button: string, yes: string): Promise<void> => {
    await page.getByRole("button", { name: button, exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: yes, exact: true }).click();
  };

  test("a mail is found by whom it is for, by keyboard alone, with its attempt, its content, its trace and its receipt", async () => {
    const to = "ann@found.example";
    const id = await send({ to, subject: "Your order", message: "See https://example.com/order/17 for it." });
    await send({ to: "bob@found.example", subject: "Another order" });
    await until("it arrived", async () => (await arrived("Your order", to)) === 1, 20_000);
    await standsAt(id, "sent");
    const page = await open.page("/console/mails");
    await page.getByRole("link", { name: "Another order" }).waitFor({ timeout: 20_000 });
    await page.getByLabel("To", { exact: true }).focus();
    await page.keyboard.type(to);
    await page.keyboard.press("Enter");
    await page.waitForURL(/to=ann%40found\.example/);
    await page.getByRole("link", { name: "Another order" }).waitFor({ state: "detached" });
    await page.getByRole("tab", { name: "any state" }).focus();
    // queued, sending, deferred, sent
    for (let step = 0; step < 4; step += 1) await page.keyboard.press("ArrowRight");
    await page.waitForURL(/state=sent/);
    await page.getByRole("link", { name: "Your order" }).focus();
    await open.picture(page, "mails");
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/console/mails/${id}`);
    await page.getByRole("region", { name: "Attempts" }).getByText(/^250/).waitFor();
    await letter(page).getByText("See https://example.com/order/17").waitFor();
    await page.getByRole("tab", { name: "Text" }).click();
    expect(await page.getByRole("region", { name: "Text part" }).textContent()).toContain("order/17 for it.");
    expect(await page.getByRole("link", { name: "Receipt" }).getAttribute("href")).toBe(`/console/receipts/${id}`);
    const trace = await page.getByRole("link", { name: "Trace", exact: true }).getAttribute("href");
    const spans = await until(
      "its trace is there",
      async () => {
        const answer = await fetch(`${open.platform.url("broker")}/v1/traces/${trace?.split("/").at(-1)}`);
        return answer.ok && ((await answer.json()) as { data: { spans: { name: string }[] } }).data.spans;
      },
      20_000,
    );
    expect(spans.map(({ name }) => name)).toContain("POST /v1/mails");
    await open.picture(page, "mail");
    await page.context().close();
  }, 90_000);

  test("HTML that would run, load, send or lead away does none of it, and says what it left out", async () => {
    let asked = 0;
    using elsewhere = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => ((asked += 1), new Response("x")) });
    const there = elsewhere.url.href;
    const html = `<!doctype html><html><head><meta http-equiv="refresh" content="0;url=${there}refresh">
      <base href="${there}"><link rel="stylesheet" href="${there}style.css"><script>parent.pwned = 1</script>
      <style>@import "${there}import.css"; body { background: url(${there}ground.png) } h1 { color: #006400 }</style></head>
      <body onload="parent.pwned = 1"><h1 style="background-image: url('${there}style.png')">Look here</h1>
      <img name="querySelectorAll" src="${there}pixel.gif" srcset="${there}two.gif 2x" alt="a pixel" onerror="parent.pwned = 1">
      <img alt="dot" src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">
      <a href="${there}away" target="_top">lead me away</a> <a href="javascript:parent.pwned = 1">run me</a>
      <form action="${there}form" method="post"><input name="attributes" value="x"><button>Send it off</button></form>
      <iframe src="${there}frame"></iframe><object data="${there}object"></object><video src="${there}film" autoplay></video>
      <svg><a xlink:href="${there}svg"><text y="9">in a drawing</text></a><image href="${there}image.svg"/></svg></body></html>`;
    const id = await send({ to: "eve@evil.example", subject: EVIL, message: "x" });
    await standsAt(id, "sent");
    const sql = postgres(`${open.platform.stack.part("postgres").url}/mail`, { max: 1 });
    await sql`UPDATE mail_messages SET content = content || ${sql.json({ html })} WHERE id = ${id}`;
    await sql.end({ timeout: 1 });

    const page = await open.page(`/console/mails/${id}`);
    const requests: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    await letter(page).getByRole("heading", { name: "Look here" }).waitFor({ timeout: 20_000 });
    // Its own styles and images are kept.
    const own = `(({ color }, { naturalWidth }) => color + " " + naturalWidth)(
      getComputedStyle(document.querySelector("h1")), document.querySelector("img[alt=dot]"))`;
    const frame = page.frames().find((one) => one.url().endsWith("/assets/mail.html"));
    expect(await frame?.evaluate<string>(own)).toBe("rgb(0, 100, 0) 1");
    for (const name of ["lead me away", "run me"]) {
      await letter(page).getByText(name).click();
      await letter(page).getByText(name).click({ button: "middle" });
    }
    await letter(page).getByRole("button", { name: "Send it off" }).click();
    await letter(page).getByText("in a drawing").click({ force: true });
    await page.getByText("images and other things are not in the mail itself").waitFor();
    await page.getByText(/^Where its links lead/).click();
    await page.getByText(`${there}away`).waitFor();
    await letter(page).getByRole("heading", { name: "Look here" }).waitFor();
    expect(await page.evaluate("globalThis.pwned")).toBeUndefined();
    expect(requests.filter((url) => url.startsWith(there))).toEqual([]);
    expect(asked).toBe(0);
    expect(page.context().pages()).toHaveLength(1);
    expect(await open.axe(page)).toEqual([]);
    await open.picture(page, "mail-evil");
    // Its subject is text in the list, too.
    await page.goto(`${open.platform.url("broker")}/console/mails?to=eve@evil.example`);
    await page.getByRole("link", { name: "onerror" }).waitFor();
    expect(await page.evaluate("globalThis.pwned")).toBeUndefined();
    await page.context().close();
    expect(open.complaints).toEqual([]);
  }, 90_000);

  test("a mail whose answer was lost is ambiguous, and is decided: it was delivered, since it was", async () => {
    const proxy = open.platform.hops.proxies["mail-smtp"];
    // The inbox has the mail so long before the mail service hears of it.
    await proxy.misbehave({ latencyMs: 500 });
    const to = "lost@answer.example";
    const id = await send({ to, subject: "Lost answer" });
    await until("it arrived", async () => (await arrived("Lost answer", to)) === 1, 30_000);
    proxy.cut();
    await proxy.heal();
    await standsAt(id, "ambiguous");
    const page = await open.page("/console/mails");
    await page.getByRole("tab", { name: "ambiguous 1" }).waitFor({ timeout: 20_000 });
    await page.getByRole("tab", { name: "ambiguous 1" }).click();
    await page.getByRole("link", { name: "Lost answer" }).click();
    await page.getByText(`Nobody knows whether ${to} got it`).waitFor();
    await open.picture(page, "mail-ambiguous");
    expect(await open.axe(page)).toEqual([]);
    // What the other way would mean is said before it is done.
    await page.getByRole("button", { name: "Send again" }).click();
    await page.getByRole("dialog").getByText("It may arrive twice").waitFor();
    await page.keyboard.press("Escape");
    await decide(page, "It was delivered", "It was delivered");
    await page.getByText("It counts as sent", { exact: true }).waitFor();
    await standsAt(id, "sent");
    await page.getByRole("region", { name: "Attempts" }).getByText("resolved").waitFor();
    await page.getByText("Nobody knows whether").waitFor({ state: "detached" });
    expect(await arrived("Lost answer", to)).toBe(1);
    await page.context().close();
  }, 120_000);

  test("who gets no mail: put there, taken off with an undo, and what was refused meanwhile is sent again and arrives", async () => {
    const [kept, refused] = ["kept@list.example", "refused@list.example"];
    const page = await open.page("/console/mails?view=suppressions");
    await page.getByLabel("Its address").fill(refused);
    await page.getByLabel("Why").fill(EVIL);
    await page.keyboard.press("Enter");
    await page.getByRole("cell", { name: refused, exact: true }).waitFor();
    await open.picture(page, "suppressions");
    expect(await open.axe(page)).toEqual([]);
    const id = await send({ to: [kept, refused], subject: "To two" });
    await until("one got it", async () => (await arrived("To two", refused)) === 1, 20_000);
    await page.getByRole("button", { name: `Send again to ${refused}` }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Send again" }).click();
    await page.getByText("Everybody gets mail.").waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByRole("cell", { name: refused, exact: true }).waitFor();
    await page.getByRole("button", { name: `Send again to ${refused}` }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Send again" }).click();
    await page.getByText("Everybody gets mail.").waitFor();

    await page.goto(`${open.platform.url("broker")}/console/mails/${id}`);
    await page.getByText("Some recipients were sent it").waitFor();
    await decide(page, `Send again: ${refused}`, "Send again");
    // Each recipient is sent one of his own, which names both.
    await until("the other one got it", async () => (await arrived("To two", refused)) === 2, 30_000);
    await page.getByText("The mail server has taken it.").waitFor();
    await page.context().close();
    expect(open.complaints).toEqual([]);
  }, 90_000);

  test("a mail that waits is taken back, by keyboard alone, and is not sent", async () => {
    const send_at = new Date(Date.now() + 3_600_000).toISOString();
    const attachments = [{ filename: "order.txt", content_type: "text/plain", content: "MTcK" }];
    const id = await send({ to: "later@example.org", subject: "Later", send_at, attachments });
    const page = await open.page(`/console/mails/${id}`);
    await page.getByText("text/plain, 3 bytes").waitFor({ timeout: 20_000 });
    await page.getByRole("button", { name: "Cancel" }).focus();
    await page.keyboard.press("Enter");
    const yes = page.getByRole("dialog").getByRole("button", { name: "Cancel the mail" });
    await yes.focus();
    await page.keyboard.press("Enter");
    await page.getByText("Somebody took it back before it was sent.").waitFor();
    await standsAt(id, "cancelled");
    await page.getByRole("button", { name: "Send again" }).waitFor();
    await page.context().close();
  }, 60_000);

  test("a template is previewed as one types: its languages, and what is wrong with its variables", async () => {
    const page = await open.page("/console/templates");
    await page.getByRole("link", { name: "welcome" }).click();
    await page.waitForURL("**/console/templates/welcome");
    const variables = page.getByLabel("Variables, JSON");
    await letter(page).getByText("ann@example.org").first().waitFor({ timeout: 20_000 });
    const typed = JSON.stringify({ address: "typed@example.net" });
    await variables.fill(typed);
    await letter(page).getByText("typed@example.net").first().waitFor();
    await open.picture(page, "template");
    expect(await open.axe(page)).toEqual([]);
    await variables.fill(`{"address": `);
    await page.getByText(/^Not JSON/).waitFor();
    await variables.fill(`{"address": 7}`);
    await page.getByText(/variables\.address must be/).waitFor();
    await page.getByText("As it was before").waitFor();
    await variables.fill(typed);
    await page.getByLabel("Language").selectOption("de");
    await page.waitForURL(/locale=de/);
    await page.getByText("Willkommen").first().waitFor();
    await page.getByRole("tab", { name: "Text" }).click();
    await page.getByRole("region", { name: "Text part" }).getByText("Ihr Konto für typed@example.net").waitFor();
    // A mail that is made from it is found by it.
    const to = "made@example.org";
    const { status } = await open.platform.post("broker", "/v1/mails", {
      from: MAIL.from,
      to,
      template: { name: "welcome", variables: { address: to } },
    });
    expect(status).toBe(202);
    await page.getByRole("link", { name: "Mails made from it" }).click();
    await page.getByRole("cell", { name: to, exact: true }).waitFor();
    expect(await page.getByRole("cell", { name: "later@example.org" }).count()).toBe(0);
    await page.context().close();
  }, 60_000);

  test.each([false, true])(
    "axe finds nothing serious (dark: %p), and everything fits a narrow screen",
    async (dark) => {
      const to = "narrow@example.org";
      const id = await send({
        to,
        subject: "A subject that is rather long for a narrow screen and has no end to speak of",
      });
      const places = [
        ["mails", "Newest first"],
        [`mails/${id}`, "What it looks like"],
        ["mails?view=suppressions", "Who gets no mail"],
        ["templates", undefined],
        ["templates/alert", "What becomes of it"],
      ] as const;
      for (const [path, region] of places) {
        const page = await open.page(`/console/${path}`, { dark, width: 360 });
        if (region === undefined) await page.getByRole("link", { name: "alert" }).waitFor({ timeout: 20_000 });
        else await page.getByRole("region", { name: region, exact: true }).waitFor({ timeout: 20_000 });
        await page.locator(".spinner").first().waitFor({ state: "detached" });
        const name = path.replace(id, "one").replaceAll(/\W/g, "-");
        expect([path, await page.evaluate<number>("document.documentElement.scrollWidth")]).toEqual([path, 360]);
        expect([path, await open.axe(page)]).toEqual([path, []]);
        await open.picture(page, `${name}-360${dark ? "-dark" : ""}`);
        await page.context().close();
      }
      expect(open.complaints).toEqual([]);
    },
    120_000,
  );
});
