/** docs/mail-templates.md shows a template of one's own: it is one. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "#shared/log";
import { openTemplates } from "./templates.ts";

const directory = mkdtempSync(join(tmpdir(), "mail-templates-docs-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The indented block after a line that begins so. */
function blockAfter(page: string, line: string): string {
  const rest = page.slice(page.indexOf(`\n${line}`) + 1).split("\n");
  const from = rest.findIndex((text) => text.startsWith("    "));
  const length = rest.slice(from).findIndex((text) => text !== "" && !text.startsWith("    "));
  return rest
    .slice(from, from + length)
    .map((text) => text.slice(4))
    .join("\n");
}

test("the invoice of the page is a template as it stands there", async () => {
  const page = await Bun.file(join(import.meta.dir, "../../docs/mail-templates.md")).text();
  const own = join(directory, "invoice/1");
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, "template.json"), blockAfter(page, "**template.json**"));
  writeFileSync(join(own, "en.subject.liquid"), "Invoice {{ number }}");
  writeFileSync(join(own, "en.html.liquid"), blockAfter(page, "**The three parts**"));
  writeFileSync(join(own, "en.text.liquid"), "Invoice {{ number }}: {{ url }}");
  const templates = openTemplates({ directory, defaultLocale: "en", log: silentLog });
  const variables = templates.list().find(({ name }) => name === "invoice")?.example ?? {};
  const mail = await templates.render({ name: "invoice", variables });
  expect(mail.ok && mail.value.html).toContain("1,234.50 EUR, due by December 1, 2026 at 01:00 GMT+1.</p>");
});
