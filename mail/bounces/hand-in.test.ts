/** The command of docs/mail-server.md that hands in a bounce (needs curl). */
import { afterEach, expect, test as anyTest } from "bun:test";
import { join } from "node:path";
import { bounceOf } from "./bounces.test-kit.ts";
import { parseBounce } from "./dsn.ts";

const COMMAND = join(import.meta.dir, "../../docs/examples/hand-in-bounce");
const test = anyTest.skipIf(Bun.which("curl") === null);
const open: { stop(force: boolean): unknown }[] = [];
afterEach(() => {
  for (const server of open.splice(0)) void server.stop(true);
});

/** A mail service that answers with `status`, and keeps what it was given. */
function serviceThat(status: number): {
  url: string;
  bodies: { encoding?: string; message?: string }[];
  paths: string[];
} {
  const bodies: { encoding?: string; message?: string }[] = [];
  const paths: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      paths.push(`${request.method} ${new URL(request.url).pathname} ${request.headers.get("x-more") ?? ""}`.trim());
      bodies.push((await request.json()) as { encoding?: string; message?: string });
      return Response.json({ error: status >= 400, message: `says ${status}` }, { status });
    },
  });
  open.push(server);
  return { url: `http://127.0.0.1:${server.port}`, bodies, paths };
}

async function run(
  message: string | Uint8Array,
  env: Record<string, string>,
): Promise<{ code: number; words: string }> {
  const hand = Bun.spawn(["sh", COMMAND], {
    stdin: new Blob([message]),
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  return { words: await new Response(hand.stderr).text(), code: await hand.exited };
}

test("the message arrives byte by byte, as POST /bounces takes it", async () => {
  const service = serviceThat(202);
  const text = bounceOf("bob@example.org", "1@example.com").replace("nobody", 'nobody \u00e9 "quoted" \\');
  const bytes = Buffer.from(text, "latin1");
  expect(await run(bytes, { MAIL_URL: service.url })).toEqual({ code: 0, words: "" });
  expect(service.paths).toEqual(["POST /bounces"]);
  expect(service.bodies[0]?.encoding).toBe("base64");
  const given = Buffer.from(service.bodies[0]?.message ?? "", "base64");
  expect(given.equals(bytes)).toBe(true);
  expect((await parseBounce(given)).ok).toBe(true);
});

test("a header more is sent where one is asked for", async () => {
  const service = serviceThat(202);
  await run("x", { MAIL_URL: service.url, HAND_IN_HEADER: "X-More: a b" });
  expect(service.paths).toEqual(["POST /bounces a b"]);
});

test.each([
  [422, 0],
  [413, 0],
  [503, 75],
  [500, 75],
  [401, 75],
])("an answer of %d is told, and ends with %d", async (status, code) => {
  const service = serviceThat(status);
  const ended = await run("no bounce", { MAIL_URL: service.url });
  expect(ended.code).toBe(code);
  expect(ended.words).toContain(`says ${status}`);
});

test("no mail service: to be tried again", async () => {
  expect(await run("x", { MAIL_URL: "http://127.0.0.1:1" })).toMatchObject({ code: 75 });
});
