/** The command `auth sagas`: what workflows there are, and letting a stuck one go on. */
import { messageOf } from "#shared/errors";
import { EXIT } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { openForCommand } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { operateSagas, readSagaCommand, SAGAS_USAGE } from "#shared/saga";
import type { Config } from "../config.ts";
import { MIGRATIONS } from "../migrations.ts";

/** Longest wait for the database (ms). */
const WAIT_MS = 10_000;

/** Prints one JSON object a saga. @returns the exit code: 1 where it could not be done, 2 for a command that is none. */
export async function sagasCommand({ DATABASE_URL }: Config, log: Log, args: readonly string[]): Promise<number> {
  if (["--help", "-h", "help"].includes(args[0] ?? "")) {
    process.stdout.write(`${SAGAS_USAGE}\n`);
    return EXIT.drained;
  }
  const asked = readSagaCommand(args);
  if (!asked.ok) {
    process.stderr.write(`auth sagas: ${asked.error.message}\n`);
    return EXIT.configuration;
  }
  await using opened = openForCommand({ name: "auth sagas", url: DATABASE_URL, migrations: MIGRATIONS });
  const { database } = opened;
  const deadline = Deadline.after(WAIT_MS);
  try {
    const ready = await database.ready(deadline);
    if (!ready.ok) throw ready.error;
    const lines = await operateSagas(database, args, deadline);
    if (!lines.ok) throw lines.error;
    for (const line of lines.value) process.stdout.write(`${line}\n`);
    return EXIT.drained;
  } catch (error) {
    log.error("not done", { reason: messageOf(error) });
    return EXIT.bug;
  }
}
