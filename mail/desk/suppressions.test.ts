/** The suppression list, and the link "unsubscribe", over HTTP on a real PostgreSQL. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Suppression, SuppressionPage } from "#contracts/mail";
import { makeValidator } from "#shared/validation";
import { POSTGRES_URL } from "../service.test-kit.ts";
import { makeScene, NEEDS, type Reply, type Scene } from "./desk.test-kit.ts";

setDefaultTimeout(30_000);
const checked = makeValidator(SuppressionPage, { unknown: "refuse" });

describe.skipIf(POSTGRES_URL === undefined)(`suppressions ${NEEDS}`, () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await makeScene();
  });
  beforeEach(async () => {
    await scene.sql`DELETE FROM mail_suppressions`;
  });
  afterAll(() => scene?.[Symbol.asyncDispose]());

  const add = (body: unknown, headers?: Record<string, string>): Promise<Reply<Suppression>> =>
    scene.call<Suppression>("POST", "/suppressions", body, headers);
  const list = (query: Record<string, string> = {}): Promise<Reply<SuppressionPage>> =>
    scene.call<SuppressionPage>("GET", `/suppressions?${new URLSearchParams(query).toString()}`);
  const told = async (): Promise<string[]> =>
    (await list()).data.items.map(({ address, list: of, reason }) => `${address} ${of ?? "*"} ${reason}`);

  test("put on it once: the first reason stays; in small letters", async () => {
    const first = await add({ address: "Ann@There.example", reason: "asked by phone" });
    expect(first).toMatchObject({ status: 201, message: "suppressed" });
    expect(first.data).toMatchObject({ address: "ann@there.example", reason: "asked by phone" });
    const again = await add({ address: "ann@there.example", reason: "another" });
    expect(again).toMatchObject({ status: 200, message: "suppressed already", data: first.data });
    expect((await add({ address: "ann@there.example", list: "news" }, { "x-actor": "user:op" })).status).toBe(201);
    expect(await told()).toEqual(["ann@there.example news added by user:op", "ann@there.example * asked by phone"]);
  });

  test("taken off: what is for all mail, or for one list; 404 where it is not on it", async () => {
    await add({ address: "ann@there.example" });
    await add({ address: "ann@there.example", list: "news" });
    const remove = (path: string) => scene.call("DELETE", `/suppressions/${path}`);
    expect(await remove("ann%40there.example?list=other")).toMatchObject({ status: 404 });
    expect(await remove("ANN@there.example")).toMatchObject({ status: 200, message: "no longer suppressed" });
    expect(await remove("ann@there.example")).toMatchObject({ status: 404 });
    expect(await remove("ann@there.example?list=news")).toMatchObject({ status: 200 });
    expect(await remove("%00")).toMatchObject({ status: 404 });
    expect(await remove("ann@there.example?all=true")).toMatchObject({ status: 422 });
    expect(await told()).toEqual([]);
  });

  test("pages, newest first, each once, also of one moment", async () => {
    await scene.sql`
      INSERT INTO mail_suppressions (address, list, reason, created_at)
      SELECT 'r' || n || '@there.example', CASE WHEN n % 2 = 0 THEN '' ELSE 'news' END, 'x',
        timestamptz '2026-01-01Z' + (n / 5) * interval '1 us' FROM generate_series(1, 60) n`;
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const { data } = await list({ limit: "7", ...(cursor === undefined ? {} : { cursor }) });
      expect(checked(data).ok).toBe(true);
      seen.push(...data.items.map(({ address }) => address));
      cursor = data.next_cursor;
      await add({ address: `new${seen.length}@there.example` });
    } while (cursor !== undefined);
    expect([seen.length, new Set(seen).size]).toEqual([60, 60]);
    expect([seen[0], seen.at(-1)]).toEqual(["r60@there.example", "r1@there.example"]);
    expect((await list({ address: "R7@there.example" })).data.items).toHaveLength(1);
    for (const bad of ["abc", Buffer.from("1 a@b c").toString("base64url").slice(1)]) {
      expect(await list({ cursor: bad })).toMatchObject({ status: 422, message: "cursor is none of this list" });
    }
  });

  test.each([
    [{}, "address is needed"],
    [{ address: "Ann <ann@there.example>" }, "address must be one plain e-mail address"],
    [{ address: "ann@there.example", list: "No List" }, "list must be the name of a mailing list"],
    [{ address: "ann@there.example", reason: "a\nb" }, "reason must be text of 1 to 200 characters"],
    [{ address: "ann@there.example", until: "x" }, "until is not a known field"],
  ])("%j is 422", async (body, message) => {
    expect(await add(body)).toMatchObject({ status: 422, message });
  });

  const link = `/unsubscribe/${encodeURIComponent("Ann@there.example|news")}`;
  const html = { accept: "text/html,application/xhtml+xml" };

  test("looking at the link asks, and changes nothing; the page needs no script and loads nothing", async () => {
    const { status, headers, text } = await scene.call("GET", link);
    expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(text.match(/<form method="post">/g)).toHaveLength(1);
    expect(text.match(/<button/g)).toHaveLength(1);
    expect(text).toContain("<strong>Ann@there.example</strong>");
    expect(text).not.toMatch(/<script|src=|href=|action=/);
    const csp = headers.get("content-security-policy") ?? "";
    const style = /<style>(.*)<\/style>/s.exec(text)?.[1] ?? "";
    expect(csp).toContain(`style-src 'sha256-${new Bun.CryptoHasher("sha256").update(style).digest("base64")}'`);
    for (const part of ["default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"]) {
      expect(csp.split("; ")).toContain(part);
    }
    expect([headers.get("referrer-policy"), headers.get("cache-control")]).toEqual(["no-referrer", "no-store"]);
    await fetch(`${scene.url}${link}`, { method: "HEAD" });
    expect(await told()).toEqual([]);
  });

  test("one click of a mail program, whatever its body says, takes the address off the list; again is the same", async () => {
    for (const [body, type] of [
      ["List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"],
      [
        '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
      ],
      ["", "text/plain"],
    ] as const) {
      const { status, message } = await scene.call("POST", link, body, { "content-type": type });
      expect([status, message]).toEqual([200, "unsubscribed"]);
    }
    expect(await told()).toEqual(["ann@there.example news unsubscribed"]);
    await scene.sql`DELETE FROM mail_suppressions`;
    await add({ address: "ann@there.example", list: "news", reason: "the first" });
    const bare = await fetch(`${scene.url}${link}`, { method: "POST" });
    expect(bare.status).toBe(200);
    expect(await told()).toEqual(["ann@there.example news the first"]);
  });

  test("the button of the page answers with a page", async () => {
    const form = { ...html, "content-type": "application/x-www-form-urlencoded" };
    const { status, text, headers } = await scene.call("POST", link, "", form);
    expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(text).toContain("<h1>Unsubscribed</h1>");
    expect(await told()).toEqual(["ann@there.example news unsubscribed"]);
  });

  test("a link that is not ours does nothing; what it holds is text wherever it is shown", async () => {
    for (const token of ["nonsense", "x".repeat(5_000), "%00"]) {
      expect(await scene.call("GET", `/unsubscribe/${token}`)).toMatchObject({ status: 404 });
      expect(await scene.call("POST", `/unsubscribe/${token}`, "")).toMatchObject({
        status: 404,
        message: "this link is not valid",
      });
      const page = await scene.call("POST", `/unsubscribe/${token}`, "", html);
      expect([page.status, page.text.includes("<h1>Not unsubscribed</h1>")]).toEqual([404, true]);
    }
    const { text } = await scene.call("GET", `/unsubscribe/${encodeURIComponent("<img src=x>|<b>")}`);
    expect(text).toContain("&lt;img src=x&gt;");
    expect(text).not.toContain("<img");
    expect(await told()).toEqual([]);
  });
});
