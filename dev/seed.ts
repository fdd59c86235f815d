/** Makes the development user, so that there is somebody to log in as. */
import { join } from "node:path";
import { run } from "./backing/commands.ts";
import { ROOT } from "./paths.ts";

/** Migrations come first (ms). */
export const SEED_MS = 30_000;

/** Runs auth's own seed with auth's environment. Throws with what it said where it fails. */
export async function seedDevelopmentUser(env: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
  await run(process.execPath, [join(ROOT, "auth", "seed.ts")], { timeoutMs: SEED_MS, signal, env, cwd: ROOT });
}
