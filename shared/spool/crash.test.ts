/** The spool in processes that are killed (-9): at a chosen file operation, and at any moment. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { makeScene, drained, range } from "./scene.fixture.ts";

const CHILD = Bun.fileURLToPath(new URL("./crash.fixture.ts", import.meta.url));

interface Told {
  readonly acknowledged: string[];
  readonly delivered: string[];
}

/** Runs the child until it is dead; returns what it told. */
async function runChild(dir: string, killAt: number, from: number, killAfter?: number): Promise<Told> {
  await using child = Bun.spawn([process.execPath, CHILD, dir, String(killAt), String(from)], {
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true });
    if (killAfter !== undefined && text.split("\n+").length > killAfter) child.kill("SIGKILL");
  }
  await child.exited;
  expect(child.signalCode).toBe("SIGKILL");
  const lines = text.split("\n");
  const of = (sign: string): string[] => lines.filter((line) => line.startsWith(sign)).map((line) => line.slice(1));
  return { acknowledged: of("+"), delivered: of("-") };
}

/** All that children acknowledged was delivered by one of them, or is now. */
async function expectNothingLost(scene: Awaited<ReturnType<typeof makeScene>>, told: readonly Told[]): Promise<void> {
  await using spool = await scene.open();
  const left = (await drained(spool)).map(({ id }) => id);
  const seen = new Set([...left, ...told.flatMap(({ delivered }) => delivered)]);
  expect(told.flatMap(({ acknowledged }) => acknowledged).filter((id) => !seen.has(id))).toEqual([]);
  expect(await scene.metric("spool_corrupt_total")).toBe(0);
}

test("killed at each of its first file operations, one process after the other in one directory: nothing is lost", async () => {
  await using scene = await makeScene();
  const told: Told[] = [];
  for (const at of range(1, 31)) told.push(await runChild(join(scene.dir, "logs"), at * 2, at * 100_000));
  await expectNothingLost(scene, told);
  expect(told.flatMap(({ acknowledged }) => acknowledged).length).toBeGreaterThan(30);
}, 30_000);

test("killed from outside while it appends, again and again: nothing is lost", async () => {
  await using scene = await makeScene();
  const told: Told[] = [];
  for (const run of range(0, 6)) told.push(await runChild(join(scene.dir, "logs"), 0, run * 1_000_000, 50 + run * 97));
  await expectNothingLost(scene, told);
  expect(told.flatMap(({ acknowledged }) => acknowledged).length).toBeGreaterThan(500);
}, 30_000);
