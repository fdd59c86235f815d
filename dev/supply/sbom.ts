/** The bill of materials: CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), made from bun.lock. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT } from "../paths.ts";
import { closure, type LockedPackage, type Lockfile, resolve } from "./lockfile.ts";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

export interface Component {
  readonly type: "library";
  readonly "bom-ref": string;
  readonly name: string;
  readonly group?: string;
  readonly version: string;
  readonly purl: string;
  /** `required`: runs in the services; `optional`: where it is there; `excluded`: only developers use it. */
  readonly scope: "required" | "optional" | "excluded";
  readonly hashes: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses?: readonly { readonly expression: string }[];
}

const ALGORITHMS: Readonly<Record<string, string>> = {
  sha1: "SHA-1",
  sha256: "SHA-256",
  sha384: "SHA-384",
  sha512: "SHA-512",
};

/** Package URL (https://github.com/package-url/purl-spec); the `@` of a scope is escaped. */
export function purlOf({ name, version }: Pick<LockedPackage, "name" | "version">): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

/**
 * @param at time of making, RFC 3339; absent where the same lockfile has to give the same bill.
 * @param licenseOf of a package that is installed.
 */
export async function sbomOf(
  lockfile: Lockfile,
  options: {
    readonly manifest: Manifest;
    readonly at?: string;
    readonly licenseOf: (one: LockedPackage) => Promise<string | undefined>;
  },
) {
  const { manifest, at, licenseOf } = options;
  const runtime = closure(lockfile, lockfile.runtime);
  const optional = closure(lockfile, lockfile.optional);
  const scopeOf = (one: LockedPackage): Component["scope"] =>
    runtime.has(one) ? "required" : optional.has(one) ? "optional" : "excluded";
  // Two places may hold the same version: one component.
  const distinct = [
    ...new Map(lockfile.packages.toSorted(firstRequired(scopeOf)).map((one) => [purlOf(one), one])).values(),
  ];
  const components = await Promise.all(
    distinct.map(async (one): Promise<Component> => {
      const [, group, short = one.name] = /^(?:(@[^/]+)\/)?(.+)$/.exec(one.name) ?? [];
      const license = await licenseOf(one);
      const [algorithm = "", digest = ""] = one.integrity.split(/-(.*)/s);
      return {
        type: "library",
        "bom-ref": purlOf(one),
        ...(group === undefined ? {} : { group }),
        name: short,
        version: one.version,
        purl: purlOf(one),
        scope: scopeOf(one),
        hashes: [{ alg: ALGORITHMS[algorithm] ?? algorithm, content: Buffer.from(digest, "base64").toString("hex") }],
        ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
      };
    }),
  );
  const root = purlOf(manifest);
  const direct = [...lockfile.runtime, ...lockfile.optional, ...lockfile.development];
  const refs = (user: string | undefined, names: readonly string[]): string[] => {
    const used = names.map((name) => resolve(lockfile, user, name)).filter((one) => one !== undefined);
    return [...new Set(used.map(purlOf))].sort();
  };
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      ...(at === undefined ? {} : { timestamp: at }),
      component: { type: "application", "bom-ref": root, name: manifest.name, version: manifest.version, purl: root },
    },
    components: components.sort((a, b) => (a.purl < b.purl ? -1 : 1)),
    dependencies: [
      { ref: root, dependsOn: refs(undefined, direct) },
      ...distinct
        .map((one) => ({ ref: purlOf(one), dependsOn: refs(one.place, one.uses) }))
        .sort((a, b) => (a.ref < b.ref ? -1 : 1)),
    ],
  };
}

/** Of the same version at two places the last one stays: the one that runs. */
function firstRequired(scopeOf: (one: LockedPackage) => Component["scope"]) {
  const order = { excluded: 0, optional: 1, required: 2 };
  return (a: LockedPackage, b: LockedPackage): number => order[scopeOf(a)] - order[scopeOf(b)];
}

/** An SPDX expression as the installed package's own manifest says it; undefined where it is not installed (another platform's). */
export async function installedLicense({ place, version }: LockedPackage): Promise<string | undefined> {
  const names = place.match(/@[^/]+\/[^/]+|[^/]+/g) ?? [];
  try {
    const text = await readFile(join(ROOT, "node_modules", names.join("/node_modules/"), "package.json"), "utf8");
    const manifest = JSON.parse(text) as Partial<Manifest>;
    return manifest.version === version && typeof manifest.license === "string" ? manifest.license : undefined;
  } catch {
    return undefined;
  }
}
