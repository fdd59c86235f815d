/** `mail outbox`, as an operator runs it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { MailView } from "#contracts/mail";
import { loadConfig } from "#shared/config";
import { type Terminal, userAtHost } from "#shared/terminal";
import { fields } from "../config.ts";
import { POSTGRES_URL } from "../service.test-kit.ts";
import { runOutbox } from "./command.ts";
import { makeScene, NEEDS } from "./desk.test-kit.ts";

setDefaultTimeout(30_000);
const NOWHERE = "postgres://postgres@127.0.0.1:1/mail";

/** What the command answers to a command line. */
async function outbox(databaseUrl: string, line: string, terminal: Partial<Terminal> = {}) {
  const said = { out: "", err: "", asked: "", code: 0 };
  const config = loadConfig("mail", fields, { DATABASE_URL: databaseUrl });
  said.code = await runOutbox(config, line.split(" ").filter(Boolean), {
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
    columns: undefined,
    colour: false,
    interactive: false,
    ask: async (question) => {
      said.asked = question;
      return false;
    },
    ...terminal,
  });
  return said;
}

const ID = "01938f3c-0000-7000-8000-000000000000";

test.each([
  ["", "what?"],
  ["--json", "what?"],
  ["drop", 'there is no "drop"'],
  ["list two", 'unexpected "two"'],
  ["list --loud", "--loud"],
  ["list --state lost", "--state is queued, sending"],
  ["list --to a,b", "--to is one plain e-mail address"],
  ["list --from a", "--from is one plain e-mail address"],
  ["list --since yesterday", "--since must be a time"],
  ["list --limit 0", '--limit is a whole number from 1, not "0"'],
  ["list --as sent", "list takes no --as"],
  ["show", "show needs the id of a mail"],
  ["show 4711", 'show needs the id of a mail, not "4711"'],
  [`show ${ID} ${ID}`, "unexpected"],
  [`show ${ID} --to a@b.example`, "show takes no --to"],
  [`resolve ${ID}`, "resolve needs --as sent, failed, resend"],
  [`resolve ${ID} --as gone`, "--as is sent, failed, resend"],
  [`cancel ${ID} --yes`, "cancel takes no --yes"],
])("outbox %s is refused in one line, before anything is asked", async (line, said) => {
  const { out, err, code } = await outbox(NOWHERE, line);
  expect([out, code]).toEqual(["", 2]);
  expect(err).toStartWith("outbox: ");
  expect(err).toContain(said);
  expect(err.trim()).not.toContain("\n");
});

test("help is answered without a database; without one, the rest fails with a reason", async () => {
  for (const line of ["--help", "help", "list -h"]) {
    const { out, code } = await outbox(NOWHERE, line);
    expect([code, out.includes("--as resend")]).toEqual([0, true]);
  }
  const { code, err } = await outbox(NOWHERE, "list");
  expect([code, err]).toEqual([1, expect.stringContaining("no answer from PostgreSQL at 127.0.0.1:1")]);
});

describe.skipIf(POSTGRES_URL === undefined)(`mail outbox ${NEEDS}`, () => {
  test("lists, shows and decides, for people and for programs", async () => {
    await using scene = await makeScene();
    const run = (line: string, terminal?: Partial<Terminal>) => outbox(scene.databaseUrl, line, terminal);
    expect(await run("list")).toMatchObject({ code: 0, out: "Nothing is there.\n" });
    const lost = await scene.insert({
      at: "2026-01-01T00:00:00Z",
      subject: "\u001b[31mred\nalert",
      recipients: [
        { state: "ambiguous", text: "no answer" },
        { address: "bob@there.example", state: "sent" },
      ],
    });
    const waiting = await scene.insert({ recipients: [{ state: "queued", attempt: 0 }], subject: "Hello" });
    for (let index = 0; index < 3; index += 1) await scene.insert({ at: "2025-01-01T00:00:00Z" });

    const [head, first, second] = (await run("list")).out.split("\n");
    expect(head).toMatch(/^ID +STATE +AGE +TRIES +TO +FROM +LAST REPLY OR SUBJECT$/);
    expect(first).toMatch(new RegExp(`^${waiting} +queued +\\d s +0 +you@there.example +me@example.com +Hello$`));
    expect(second).toMatch(
      new RegExp(`^${lost} +ambiguous +\\d+ \\w+ +1 +you@there.example \\+1 +me@example.com +no answer$`),
    );
    const some = await run("list --limit 2");
    expect([some.out.split("\n").length, some.err]).toEqual([4, "There are more than these 2: --limit\n"]);
    const listed = JSON.parse((await run("list --json --state sent --limit 3")).out) as { items: MailView[] };
    expect(listed).toMatchObject({ items: [{ id: lost }, {}, {}], complete: false });
    expect((await run("list", { colour: true, columns: 20 })).out).toStartWith("\u001b[2mID");

    const shown = await run(`show ${lost}`);
    expect(shown.out).toContain("bob@there.example: sent, 1 attempts");
    expect(shown.out).not.toContain("\u001b");
    expect(shown.out).not.toContain("secret");
    expect(JSON.parse((await run(`show ${lost} --json`)).out)).toMatchObject({
      id: lost,
      subject: "\u001b[31mred\nalert",
    });
    expect(await run(`show ${ID}`)).toMatchObject({ code: 1, err: "outbox: no such mail\n" });

    const refused = await run(`resolve ${lost} --as resend`, { interactive: true });
    expect(refused).toMatchObject({ code: 1, err: "Nothing was done.\n", asked: expect.stringContaining("twice") });
    expect(await scene.states(lost)).toEqual(["ambiguous", "sent"]);
    expect(await run(`resolve ${lost} --as sent`)).toMatchObject({ code: 0, out: `${lost} is sent\n` });
    expect(await scene.history(lost)).toEqual([{ outcome: "resolved", code: null, text: `${userAtHost()}: sent` }]);
    expect(await run(`resolve ${lost} --as sent`)).toMatchObject({
      code: 1,
      err: "outbox: there is nothing to resolve: you@there.example is sent, bob@there.example is sent\n",
    });
    expect(await run(`cancel ${waiting} --to you@there.example --json`)).toMatchObject({ code: 0 });
    expect(await run(`resolve ${waiting} --as resend --yes`, { interactive: true })).toMatchObject({
      code: 0,
      asked: "",
    });
    expect(await scene.states(waiting)).toEqual(["queued"]);
    expect((await run(`show ${waiting}`)).out).toMatch(
      /\nto you@there\.example: queued, 0 attempts, next attempt 20.*\nAT +WHAT +TOOK +REPLY\n.*cancelled/,
    );
  });

  test("as a process: colour only for a person, and the exit code", async () => {
    await using scene = await makeScene();
    const id = await scene.insert({ recipients: [{ state: "ambiguous" }] });
    const run = async (...args: string[]) => {
      const child = Bun.spawn([process.execPath, join(import.meta.dir, "../main.ts"), "outbox", ...args], {
        env: { ...process.env, DATABASE_URL: scene.databaseUrl },
        stdout: "pipe",
        stderr: "pipe",
      });
      return Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
    };
    const [code, out, err] = await run("list", "--state", "ambiguous");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(id);
    expect(out).not.toContain("\u001b");
    expect(await run("resolve", id, "--as", "failed")).toEqual([0, `${id} is failed\n`, ""]);
    expect((await run("resolve", id, "--as", "failed"))[0]).toBe(1);
    expect((await run("odd"))[0]).toBe(2);
  });
});
