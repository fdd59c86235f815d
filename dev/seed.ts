/** Makes the development user, so that there is somebody to log in as. */
import { run } from "./backing/commands.ts";
import { programOf } from "./services.ts";

/** Migrations come first (ms). */
export const SEED_MS = 30_000;

/**
 * Runs `auth seed` with auth's environment, from source or from the directory of executables. Throws with what it said
 * where it fails.
 */
export async function seedDevelopmentUser(
  env: Readonly<Record<string, string>>,
  executables: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { command, args, cwd } = programOf("auth", executables);
  await run(command, [...args, "seed"], { timeoutMs: SEED_MS, signal, env, cwd });
}
