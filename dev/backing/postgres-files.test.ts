import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closedDirectory, runningOn, unprivilegedUser } from "./postgres-files.ts";

const directory = mkdtempSync(join(tmpdir(), "postgres-files-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("root's stand-in is nobody, else daemon, and must have a name", () => {
  const passwd = "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\n";
  const nobody = "nobody:x:65534:65534::/:/bin/false\n";
  expect(unprivilegedUser(passwd + nobody)).toEqual({ name: "nobody", uid: 65_534, gid: 65_534 });
  expect(unprivilegedUser(passwd)).toEqual({ name: "daemon", uid: 1, gid: 1 });
  expect(() => unprivilegedUser("root:x:0:0::/root:/bin/sh")).toThrow("does not run as root");
});

test("the directory that keeps a user out is found", async () => {
  const stranger = { name: "nobody", uid: 65_534, gid: 65_534 };
  const inner = join(directory, "inner", "deep");
  mkdirSync(inner, { recursive: true });
  for (const open of [directory, join(directory, "inner"), inner]) chmodSync(open, 0o755);
  expect(await closedDirectory(join(inner, "data"), stranger)).toBeUndefined();
  chmodSync(join(directory, "inner"), 0o700);
  expect(await closedDirectory(join(inner, "data"), stranger)).toBe(join(directory, "inner"));
});

test.skipIf(process.platform !== "linux")(
  "a pid file of a server that is gone is put away, another is left",
  async () => {
    const file = join(directory, "postmaster.pid");
    expect(await runningOn(directory)).toBeUndefined();
    writeFileSync(file, `${process.pid}\n${directory}\n`);
    expect(await runningOn(process.cwd())).toBeUndefined();
    expect(await runningOn(directory)).toBeUndefined();
    expect(await Bun.file(file).exists()).toBe(false);
  },
);
