/** What bun.lock says is installed. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT } from "../paths.ts";

export interface LockedPackage {
  /** Where it lies: its name, or `parent/name` where a parent has a version of its own. */
  readonly place: string;
  readonly name: string;
  readonly version: string;
  /** `sha512-…` (Subresource Integrity). */
  readonly integrity: string;
  /** Names of packages that it uses, those that may be absent too; not peers that it can do without. */
  readonly uses: readonly string[];
}

export interface Lockfile {
  readonly packages: readonly LockedPackage[];
  /** Names that package.json lists: what runs in the services, what only developers use, what may be absent. */
  readonly runtime: readonly string[];
  readonly development: readonly string[];
  readonly optional: readonly string[];
  /** Packages whose install scripts are run. */
  readonly trusted: readonly string[];
}

interface Raw {
  readonly workspaces: {
    readonly "": Readonly<
      Partial<Record<"dependencies" | "devDependencies" | "optionalDependencies", Record<string, string>>>
    >;
  };
  readonly trustedDependencies?: readonly string[];
  readonly packages: Readonly<Record<string, readonly [string, string, Relations, string]>>;
}

interface Relations {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly optionalPeers?: readonly string[];
}

/** @throws where a package has no name, version or integrity: it comes from somewhere else than the registry. */
export function parseLockfile(text: string): Lockfile {
  const raw = Bun.JSONC.parse(text) as Raw;
  const packages = Object.entries(raw.packages).map(([place, [nameAndVersion, , relations, integrity]]) => {
    const at = nameAndVersion.lastIndexOf("@");
    const [name, version] = [nameAndVersion.slice(0, at), nameAndVersion.slice(at + 1)];
    if (at < 1 || !/^\d/.test(version) || !/^sha\d+-/.test(integrity ?? "")) {
      throw new Error(`bun.lock: ${nameAndVersion} is no package of the registry with an integrity`);
    }
    const { dependencies, optionalDependencies, peerDependencies, optionalPeers = [] } = relations;
    const uses = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
    return { place, name, version, integrity, uses: uses.filter((used) => !optionalPeers.includes(used)) };
  });
  const { dependencies = {}, devDependencies = {}, optionalDependencies = {} } = raw.workspaces[""];
  return {
    packages,
    runtime: Object.keys(dependencies),
    development: Object.keys(devDependencies),
    optional: Object.keys(optionalDependencies),
    trusted: raw.trustedDependencies ?? [],
  };
}

export async function readLockfile(): Promise<Lockfile> {
  return parseLockfile(await readFile(join(ROOT, "bun.lock"), "utf8"));
}

/** The package that `user` means by `name`: its own, or the nearest one of those that it lies in, or the common one. */
export function resolve(
  { packages }: Pick<Lockfile, "packages">,
  user: string | undefined,
  name: string,
): LockedPackage | undefined {
  for (let around = user; around !== undefined; around = parentOf(around)) {
    const own = packages.find(({ place }) => place === `${around}/${name}`);
    if (own !== undefined) return own;
  }
  return packages.find(({ place }) => place === name);
}

/** `a/@b/c` lies in `a`; `@b/c` and `a` lie in nothing. */
function parentOf(place: string): string | undefined {
  const names = place.match(/@[^/]+\/[^/]+|[^/]+/g) ?? [];
  return names.length > 1 ? names.slice(0, -1).join("/") : undefined;
}

/** All that these names bring along. */
export function closure(lockfile: Lockfile, names: readonly string[]): ReadonlySet<LockedPackage> {
  const found = new Set<LockedPackage>();
  const visit = (user: string | undefined, name: string): void => {
    const known = resolve(lockfile, user, name);
    // A peer that nobody has installed.
    if (known === undefined || found.has(known)) return;
    found.add(known);
    for (const used of known.uses) visit(known.place, used);
  };
  for (const name of names) visit(undefined, name);
  return found;
}
