/** The templates of mails in the compiled executable: carried inside, and from a directory; nothing of the sources is there. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "../../deploy/build.ts";
import { freePort } from "../../dev/backing/ports.ts";
import { until } from "../kit.ts";

const EMBEDDED = join(import.meta.dir, "../../mail/templates");
let dir: string;
let empty: string;
let own: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "platform-mail-templates-"));
  empty = join(dir, "empty");
  own = join(dir, "own");
  await mkdir(empty);
  await cp(join(EMBEDDED, "welcome/1"), join(own, "welcome/2"), { recursive: true });
  await writeFile(join(own, "welcome/2/en.subject.liquid"), "Welcome, once more");
  await build(["mail"], undefined, join(dir, "dist"));
}, 120_000);
afterAll(() => rm(dir, { recursive: true, force: true }));

function start(env: Record<string, string>) {
  const away = { DATABASE_URL: "postgres://postgres@127.0.0.1:1/x", SMTP_URL: "smtp://127.0.0.1:1" };
  return Bun.spawn([join(dir, "dist/mail")], {
    cwd: empty,
    env: { ...away, ...env },
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
  });
}

test("they are all there, in an empty directory and with PostgreSQL away, and one of one's own is the newest", async () => {
  const PORT = String(await freePort());
  const child = start({ PORT, TEMPLATES_DIR: own });
  const url = `http://127.0.0.1:${PORT}`;
  await until("/ping", async () => (await fetch(`${url}/ping`)).status === 200);
  const list = (await (await fetch(`${url}/templates`)).json()) as {
    data: { items: { name: string; version: number }[] };
  };
  expect(list.data.items.map(({ name, version }) => `${name}/${version}`)).toEqual([
    "account-changed/1",
    "alert/1",
    "new-sign-in/1",
    "reset-password/1",
    "verify-address/1",
    "welcome/1",
    "welcome/2",
  ]);
  const preview = async (body: unknown) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${url}/templates/welcome/preview`, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
    return (await answer.json()) as { data: { subject: string; html: string; text: string } };
  };
  const variables = { address: "ann@example.org" };
  expect((await preview({ variables })).data.subject).toBe("Welcome, once more");
  const { data } = await preview({ variables, version: 1, locale: "de-AT" });
  expect(data.subject).toBe("Willkommen");
  expect(data.text).toContain("Ihr Konto für ann@example.org ist bereit.");
  expect(data.html).toContain('<h1 style="margin: 0 0 16px;');
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
}, 60_000);

test("a broken one: exit code 2 before it listens, one message with each file, no stack", async () => {
  const broken = join(dir, "broken");
  await cp(own, broken, { recursive: true });
  await writeFile(join(broken, "welcome/2/en.html.liquid"), "{% include 'x' %}");
  await rm(join(broken, "welcome/2/de.text.liquid"));
  const child = start({ PORT: String(await freePort()), TEMPLATES_DIR: broken });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect(code).toBe(2);
  expect(err).toContain("mail: the mail templates are wrong:\n");
  expect(err).toContain(`${broken}/welcome/2/en.html.liquid: tag "include" not found`);
  expect(err).toContain(`${broken}/welcome/2: de.text.liquid is missing`);
  expect(err).not.toMatch(/\n\s+at /);
  expect(out).not.toContain("listening");
}, 60_000);
