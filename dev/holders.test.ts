import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeHolder, holderOf } from "./holders.ts";
import { boundLogs } from "./log-files.ts";
import { logFile } from "./paths.ts";

test("who listens on a port is named by pid and program", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  expect(holderOf(port)?.pid).toBe(process.pid);
  expect(describeHolder(port)).toContain(`(process ${process.pid})`);
  await new Promise((resolve) => server.close(resolve));
  expect(holderOf(port)).toBeUndefined();
});

test("a log that grew too large starts anew, with its past beside it and its writer undisturbed", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "logs-"));
  try {
    const file = logFile(dataDir, "broker");
    const other = logFile(dataDir, "auth");
    Bun.spawnSync(["mkdir", "-p", join(dataDir, "logs")]);
    writeFileSync(file, "x".repeat(2_000));
    writeFileSync(other, "y".repeat(10));
    boundLogs(dataDir, 1_000);
    expect(statSync(file).size).toBe(0);
    expect(statSync(`${file}.1`).size).toBe(2_000);
    expect(readFileSync(other, "utf8")).toBe("y".repeat(10));
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});
