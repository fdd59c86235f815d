/**
 * Compiles each service to one executable in `dist/`, with its worker threads and pages inside, and tries each
 * in an empty directory: what still needs the sources fails there.
 *
 *     bun run build [service …]
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const SERVICES = ["broker", "auth", "logger", "mail", "listener"] as const;
export type ServiceName = (typeof SERVICES)[number];

/**
 * Entries besides main.ts, as patterns: worker threads, and what is imported by a name that is found out while
 * running. They lie beside or below main.ts, so that their URLs resolve inside the executable.
 */
const MORE_ENTRIES: Partial<Record<ServiceName, readonly string[]>> = {
  auth: ["hash-worker.ts"],
  listener: ["worker.ts", "jobs/*.ts"],
};
const NOT_ENTRIES = /\.(test|fixture|test-kit)\.ts$/;

const ROOT = join(import.meta.dir, "..");
const BUILD_MS = 120_000;
const TRY_MS = 10_000;

export interface Built {
  readonly service: ServiceName;
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly tookMs: number;
}

async function run(
  command: readonly string[],
  cwd: string,
  env: Record<string, string | undefined>,
  ms: number,
): Promise<string> {
  const child = Bun.spawn([...command], { cwd, env, stdout: "pipe", stderr: "pipe", timeout: ms });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command[0]} … exited with ${code}:\n${err || out}`);
  return out;
}

/** The commit that is built, `source` where git does not tell, with `+changes` where the tree differs from it. */
async function commitOf(): Promise<string> {
  try {
    const commit = (await run(["git", "rev-parse", "--short=12", "HEAD"], ROOT, process.env, TRY_MS)).trim();
    const changes = (
      await run(["git", "status", "--porcelain", "--untracked-files=no"], ROOT, process.env, TRY_MS)
    ).trim();
    return changes === "" ? commit : `${commit}+changes`;
  } catch {
    return "source"; // no git here, as in a container's build: the version alone tells then
  }
}

export interface CompileOptions {
  /** Where the service's directory lies. */
  readonly root: string;
  readonly outfile: string;
  readonly commit: string;
  readonly target?: string | undefined;
}

/** One executable from the sources below `root`. @throws where the build fails. */
export async function compile(service: ServiceName, { root, outfile, commit, target }: CompileOptions): Promise<void> {
  const patterns = MORE_ENTRIES[service] ?? [];
  const directory = join(root, service);
  const entries = patterns.flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(directory)].sort());
  await run(
    [
      process.execPath,
      "build",
      "--compile",
      "--minify",
      "--bytecode",
      "--format=esm",
      // What a thread's entries import is there once: two copies of a class are two classes.
      ...(service === "listener" ? ["--splitting"] : []),
      "--no-compile-autoload-dotenv",
      "--no-compile-autoload-bunfig",
      "--define",
      `BUILD_COMMIT=${JSON.stringify(commit)}`,
      ...(target === undefined ? [] : [`--target=${target}`]),
      "--outfile",
      outfile,
      `${service}/main.ts`,
      ...entries.filter((entry) => !NOT_ENTRIES.test(entry)).map((entry) => `${service}/${entry}`),
    ],
    root,
    process.env,
    BUILD_MS,
  );
}

/**
 * @param target as `bun build --target` takes it, e.g. `bun-linux-arm64`; default: this machine's.
 * @throws where the build fails, or the executable does not start in an empty directory.
 */
export async function buildService(
  service: ServiceName,
  dist: string,
  commit: string,
  target?: string,
): Promise<Built> {
  const startedAt = performance.now();
  const path = join(dist, service);
  const unfinished = `${path}.new`;
  await compile(service, { root: ROOT, outfile: unfinished, commit, target });
  // By rename: an executable that runs while it is built again keeps its own file.
  await rename(unfinished, path);
  if (target === undefined) await tryAlone(service, path);
  const { size } = await stat(path);
  const sha256 = createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
  return { service, path, bytes: size, sha256, tookMs: performance.now() - startedAt };
}

async function tryAlone(service: ServiceName, path: string): Promise<void> {
  const empty = await mkdtemp(join(tmpdir(), "platform-build-"));
  try {
    const version = await run([path, "--version"], empty, {}, TRY_MS);
    if (!version.startsWith(`${service} `)) throw new Error(`${path} --version printed ${JSON.stringify(version)}`);
    await run([path, "--check-config"], empty, {}, TRY_MS);
  } finally {
    await rm(empty, { recursive: true, force: true });
  }
}

/** Builds the services of `names` (default all) one after another; the compiler itself uses every core. */
export async function build(
  names: readonly ServiceName[] = SERVICES,
  onBuilt: (built: Built) => void = () => undefined,
  dist: string = join(ROOT, "dist"),
): Promise<Built[]> {
  await mkdir(dist, { recursive: true });
  const commit = await commitOf();
  const all: Built[] = [];
  for (const name of names) {
    const built = await buildService(name, dist, commit, process.env["BUILD_TARGET"]);
    onBuilt(built);
    all.push(built);
  }
  return all;
}

const HELP = `Usage: bun run build [service …]

Compiles the services (default: ${SERVICES.join(", ")}) to executables in dist/.
BUILD_TARGET, e.g. bun-linux-arm64, builds for another machine; those are not tried here.
`;

/** The command line of this file. @returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(HELP);
    return 0;
  }
  const unknown = args.filter((arg) => !SERVICES.some((service) => service === arg));
  if (unknown.length > 0) {
    process.stderr.write(`build: unknown service ${unknown.join(", ")}; known: ${SERVICES.join(", ")}\n`);
    return 2;
  }
  const chosen = SERVICES.filter((service) => args.length === 0 || args.includes(service));
  try {
    await build(chosen, ({ service, bytes, sha256, tookMs }) => {
      const mib = (bytes / 1_048_576).toFixed(1);
      process.stdout.write(`${service.padEnd(9)} ${mib} MiB  ${(tookMs / 1_000).toFixed(1)} s  sha256 ${sha256}\n`);
    });
    return 0;
  } catch (error) {
    process.stderr.write(`build: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

if (import.meta.main) {
  if (!existsSync(join(ROOT, "node_modules"))) {
    process.stderr.write("build: run `bun install --frozen-lockfile` first\n");
    process.exit(2);
  }
  process.exit(await main(process.argv.slice(2)));
}
