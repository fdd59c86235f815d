import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, helpOf, parse, UsageError } from "./command.ts";

const command: Command = {
  name: "sample",
  words: "[thing]",
  maxWords: 1,
  summary: "does something",
  options: {
    loud: { type: "boolean", short: "l", about: "say it aloud" },
    data: { type: "string", value: "DIR", about: "where it lies" },
  },
  run: () => Promise.resolve(0),
};

test("flags, values and words are told apart", () => {
  const args = parse(command, ["-l", "thing", "--data", "/here"]);
  expect(args.flag("loud")).toBe(true);
  expect(args.text("data")).toBe("/here");
  expect(args.words).toEqual(["thing"]);
  expect(parse(command, []).flag("loud")).toBe(false);
});

test.each([
  [["--quiet"], "--quiet"],
  [["one", "two"], "two"],
  [["--data"], "--data"],
  [["--loud=yes"], "--loud"],
])("%j is refused by name", (typed, named) => {
  expect(() => parse(command, typed)).toThrow(UsageError);
  expect(() => parse(command, typed)).toThrow(named);
});

test("help tells every option", () => {
  const help = helpOf(command);
  for (const said of ["bun run sample [options] [thing]", "-l, --loud", "--data DIR", "where it lies", "--help"]) {
    expect(help).toContain(said);
  }
});

/** What the tool answers to a command line. */
async function run(...args: string[]) {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "up.ts"), ...args], {
    stdout: "pipe",
    stderr: "pipe",
    stdin: "ignore",
    env: { ...process.env, PLATFORM_DATA_DIR: join(tmpdir(), "no-such-directory"), NO_COLOR: "1" },
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, err, code };
}

test("help lists every command, and every command has help", async () => {
  const { out, code } = await run("--help");
  expect(code).toBe(0);
  const names = ["up", "down", "status", "logs", "demo", "dlq", "outbox", "test", "check", "build", "run"];
  await Promise.all(
    names.map(async (name) => {
      expect(out).toContain(`  ${name} `);
      const help = await run(name, "--help");
      expect(help.code).toBe(0);
      expect(help.out).toContain("Usage:");
    }),
  );
}, 20_000);

test.each([
  [["nonsense"], 2, 'no command "nonsense"'],
  [["up", "--nonsense"], 2, "--nonsense"],
  [["up", "--ports", "some"], 2, "usual or free"],
  [["run"], 2, "which service?"],
  [["run", "nobody"], 2, 'no service "nobody"'],
  [["logs", "nobody"], 2, "no logs"],
  [["demo", "--count", "none"], 2, "--count"],
  [["demo"], 1, "not up"],
  [["logs", "query"], 1, "not up"],
  [["logs", "tail"], 1, "not up"],
  [["logs", "export", "--from", "15m"], 1, "not up"],
  [["logs", "query", "--data", "alone"], 2, "user.id=42"],
  [["status"], 1, "not running"],
  [["dlq", "list"], 1, "not up"],
  [["dlq", "--data"], 2, "--data"],
  [["outbox", "list"], 1, "not up"],
])("%j ends with exit code %i and one clear message", async (args, expected, said) => {
  const { err, code } = await run(...args);
  expect(code).toBe(expected);
  expect(err).toContain(said);
  expect(err).not.toContain("    at ");
});
