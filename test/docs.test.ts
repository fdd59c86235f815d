/** The docs tell the truth about what is there now. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { configurationPage, PAGE } from "../dev/config-docs.ts";
import { matrix } from "./faults/matrix.ts";
import { TABLE_BEGINS, TABLE_ENDS } from "./faults/report.ts";

const ROOT = join(import.meta.dir, "..");

test("docs/configuration.md is what the services read (bun run docs writes it)", async () => {
  expect(await Bun.file(PAGE).text()).toBe(configurationPage());
});

test("every link between the pages leads to a file", async () => {
  const broken: string[] = [];
  for await (const page of new Bun.Glob("{*.md,docs/**/*.md,*/README.md}").scan({ cwd: ROOT })) {
    const text = await Bun.file(join(ROOT, page)).text();
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)) {
      if (target !== undefined && !existsSync(join(ROOT, dirname(page), target))) broken.push(`${page}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});

test("docs/reliability.md has measured each case of the fault matrix, as the case is now (bun run faults --write)", async () => {
  const page = await Bun.file(join(ROOT, "docs/reliability.md")).text();
  const table = page.slice(page.indexOf(TABLE_BEGINS), page.indexOf(TABLE_ENDS));
  const rows = table.split("\n").filter((line) => line.startsWith("| F"));
  const said = rows.map((row) => row.split(" | ").slice(0, 4));
  expect(said).toEqual((await matrix()).map(({ id, fault, promise, bar }) => [`| ${id}`, fault, promise, bar]));
});
