import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "../command.ts";
import { ROOT } from "../paths.ts";
import { readLockfile } from "../supply/lockfile.ts";
import { installedLicense, sbomOf } from "../supply/sbom.ts";

export const sbom: Command = {
  name: "sbom",
  summary: "print the software bill of materials (CycloneDX 1.6, JSON), made from bun.lock",
  details: `Every package of the lockfile with version, package URL, SHA-512 and, where it is installed, its license; scope
"required" runs in the services, "excluded" is for developers. Without --time the same lockfile gives the same bill.`,
  options: {
    out: { type: "string", value: "FILE", about: "write it there instead of printing it" },
    time: { type: "boolean", about: "say when it was made" },
  },
  async run(args) {
    const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
      name: string;
      version: string;
    };
    const bill = await sbomOf(await readLockfile(), {
      manifest,
      licenseOf: installedLicense,
      ...(args.flag("time") ? { at: new Date().toISOString() } : {}),
    });
    const text = `${JSON.stringify(bill, undefined, 2)}\n`;
    const out = args.text("out");
    if (out === undefined) {
      process.stdout.write(text);
      return 0;
    }
    await writeFile(out, text);
    process.stdout.write(`${bill.components.length} components written to ${out}\n`);
    return 0;
  },
};
