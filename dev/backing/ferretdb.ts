import { existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { run } from "./commands.ts";
import { plainEnvironment } from "./processes.ts";
import { hashOf } from "./records.ts";

/** The MongoDB-compatible server for machines without mongod: built once by Go from `ferretdb/`, then kept. */

/** On two cores 40 s when nothing else runs, and the modules have to be fetched first (ms). */
const BUILD_MS = 600_000;
const SOURCES = ["main.go", "go.mod", "go.sum"] as const;

/** The program's path; builds it where this version of it was not built yet. `say` gets what is going on. */
export async function ferretdbProgram(say: (doing: string) => void, signal: AbortSignal): Promise<string> {
  const source = join(import.meta.dir, "ferretdb");
  const texts = await Promise.all(SOURCES.map((name) => readFile(join(source, name), "utf8")));
  const cache = await cacheDirectory();
  const suffix = process.platform === "win32" ? ".exe" : "";
  const program = join(cache, `ferretdb-${hashOf(`${process.platform} ${process.arch} ${texts.join("\0")}`)}${suffix}`);
  if (existsSync(program)) return program;
  const go = Bun.which("go") ?? Bun.which("go", { PATH: "/usr/local/go/bin:/opt/homebrew/bin" });
  if (go === null) throw new Error("to build it, Go is needed, and is not installed");

  say("building FerretDB with Go, once: about a minute");
  // In a directory of its own: two first starts at the same time build twice, and the later one replaces the same bytes.
  const work = await mkdtemp(join(cache, "build-"));
  try {
    for (const name of SOURCES) await cp(join(source, name), join(work, name));
    const built = join(work, `ferretdb${suffix}`);
    await run(
      go,
      ["build", "-trimpath", "-buildvcs=false", "-tags=ferretdb_no_sqlite", "-ldflags=-s -w", "-o", built, "."],
      {
        cwd: work,
        timeoutMs: BUILD_MS,
        signal,
        env: { ...goEnvironment(), CGO_ENABLED: "0", GOFLAGS: "" },
      },
    );
    await chmod(built, 0o755);
    await rename(built, program);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return program;
}

/** A developer's own settings of Go (a proxy, a cache) are what makes it work on his machine. */
function goEnvironment(): Record<string, string> {
  const own: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (
      value !== undefined &&
      /^(GO[A-Z]+|[A-Za-z]+_PROXY|[a-z]+_proxy|XDG_CACHE_HOME|SSL_CERT_(FILE|DIR))$/.test(name)
    ) {
      own[name] = value;
    }
  }
  return plainEnvironment(own);
}

/** The user's cache directory: a second checkout, or one that was started afresh, does not build again. */
export async function cacheDirectory(): Promise<string> {
  const home = homedir();
  const base =
    process.env["XDG_CACHE_HOME"] ??
    (process.platform === "darwin"
      ? join(home, "Library", "Caches")
      : process.platform === "win32"
        ? (process.env["LOCALAPPDATA"] ?? home)
        : join(home, ".cache"));
  const wanted = join(base, "platform-dev");
  try {
    await mkdir(wanted, { recursive: true });
    return wanted;
  } catch {
    // A home that can't be written to (a build account): then beside the data of this checkout.
    const own = join(import.meta.dir, "..", "..", ".data", "cache");
    await mkdir(own, { recursive: true });
    return own;
  }
}
