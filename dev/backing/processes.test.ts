import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./commands.ts";
import { end, isAlive, launch, plainEnvironment, tail, thisProcess } from "./processes.ts";

const directory = mkdtempSync(join(tmpdir(), "processes-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const script = (code: string) => ({
  command: process.execPath,
  args: ["-e", code],
  env: plainEnvironment(),
  log: join(directory, "log"),
});
const forever = "setInterval(() => {}, 1000)";

test("a process is known by pid and start: another one with its pid is not it", () => {
  const self = thisProcess();
  expect(isAlive(self)).toBe(true);
  if (process.platform !== "win32") expect(isAlive({ ...self, started: "1" })).toBe(false);
});

test("a process that obeys is asked, one that does not is killed at the deadline", async () => {
  const obedient = await launch(script(forever));
  await end(obedient, "SIGTERM");
  expect(isAlive(obedient)).toBe(false);
  const deaf = await launch(script(`process.on("SIGTERM", () => {}); console.log("ready"); ${forever}`));
  while (deaf.lastWords() !== "ready") await Bun.sleep(5);
  await end(deaf, "SIGTERM", 200);
  expect(isAlive(deaf)).toBe(false);
});

test("a program that is not there fails at once, and says so", async () => {
  const outcome: unknown = await launch({ ...script(""), command: join(directory, "nothing") }).catch((error) => error);
  expect(outcome).toBeInstanceOf(Error);
});

test("a command gives its output, or its last words, or is killed at the deadline", async () => {
  const options = { timeoutMs: 10_000, signal: new AbortController().signal };
  expect(await run(process.execPath, ["-e", "console.log(7)"], options)).toBe("7\n");
  const failed = run(process.execPath, ["-e", "console.error('disk full'); process.exit(3)"], options);
  expect(String(await failed.catch((error: unknown) => error))).toContain("exit code 3: disk full");
  const slow = run(process.execPath, ["-e", forever], { ...options, timeoutMs: 200 });
  expect(String(await slow.catch((error: unknown) => error))).toContain("it took more than 0.2 s");
});

test("last words are the last lines that say something, and not too long", () => {
  expect(tail("one\n\ntwo\n  three\n\nfour\n")).toBe("two | three | four");
  expect(tail("x".repeat(9_000))).toHaveLength(400);
});
