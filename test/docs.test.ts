/** The docs tell the truth about what is there now. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { configurationPage, PAGE } from "../dev/config-docs.ts";

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
