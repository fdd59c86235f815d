/**
 * A macro: runs while the broker is transpiled or compiled, so that the executable carries the finished files.
 * It calls the bundler as a process, because the bundler that is running waits for this macro.
 */
import { fileURLToPath } from "node:url";

/** @param entry a script or a style sheet; all that it imports is in what is given back. */
export function bundle(entry: string): string {
  const path = fileURLToPath(new URL(entry, import.meta.url));
  const built = Bun.spawnSync(
    [process.execPath, "build", path, "--target=browser", "--minify", "--define", 'process.env.NODE_ENV="production"'],
    { env: { ...process.env, BUN_BE_BUN: "1" } },
  );
  if (!built.success) throw new Error(`cannot bundle ${entry}: ${built.stderr.toString()}`);
  return built.stdout.toString();
}
