/** compose.yaml keeps to the Compose specification's schema, and knows what the services know. */
import { expect, test } from "bun:test";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SERVICES } from "../deploy/build.ts";

const ROOT = join(import.meta.dir, "..");

async function lint(file: string): Promise<{ code: number; said: string }> {
  const dclint = join(ROOT, "node_modules/dclint/bin/dclint.cjs");
  const child = Bun.spawn([process.execPath, "--bun", dclint, file], {
    cwd: ROOT,
    stdout: "pipe",
    stderr: "pipe",
    timeout: 30_000,
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, said: out + err };
}

test("compose.yaml is valid", async () => {
  expect(await lint(join(ROOT, "compose.yaml"))).toMatchObject({ code: 0 });
}, 30_000);

test("a misspelt key is seen", async () => {
  const dir = await mkdtemp(join(tmpdir(), "compose-"));
  try {
    const file = join(dir, "compose.yaml");
    await cp(join(ROOT, "compose.yaml"), file);
    await Bun.write(file, (await Bun.file(file).text()).replace("healthcheck:", "healthchek:"));
    const { code, said } = await lint(file);
    expect(code).not.toBe(0);
    expect(said).toContain("must NOT have additional properties");
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}, 30_000);

interface Compose {
  readonly services: Record<
    string,
    { readonly image?: string; readonly build?: object; readonly ports?: readonly string[] }
  >;
}

test("it has the five services, pinned images, and ports on this machine only", async () => {
  const { services } = Bun.YAML.parse(await Bun.file(join(ROOT, "compose.yaml")).text()) as Compose;
  for (const name of SERVICES) expect(services[name]?.build).toBeDefined();
  for (const [name, { image, ports }] of Object.entries(services)) {
    if (image !== undefined) expect(image, name).toMatch(/:v?\d+\.\d+/);
    for (const port of ports ?? []) expect(port, name).toStartWith("127.0.0.1:");
  }
});
