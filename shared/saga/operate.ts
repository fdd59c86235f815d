/** What an operator does with sagas, as a command of the service that has them. */
import { fail, ok, type Result } from "#shared/errors";
import { isUuid } from "#shared/ids";
import type { Database } from "#shared/postgres";
import type { Deadline } from "#shared/resilience";
import { makeStore } from "./store.ts";
import { SAGA_STATES, type SagaState } from "./types.ts";

const LISTED = 100;
const UNDER_WAY: readonly SagaState[] = ["running", "compensating", "stuck"];
export const SAGAS_USAGE = `usage: sagas list [${SAGA_STATES.join("|")}] | sagas retry <id>`;

export type SagaCommand =
  | { readonly verb: "list"; readonly states: readonly SagaState[] }
  | { readonly verb: "retry"; readonly id: string };

/** What is asked for, told before anything is opened. @returns failure `invalid` with the usage, where it is no such command. */
export function readSagaCommand(args: readonly string[]): Result<SagaCommand> {
  const [verb = "list", argument, ...rest] = args;
  if (rest.length > 0) return fail("invalid", SAGAS_USAGE);
  if (verb === "list") {
    const state = SAGA_STATES.find((candidate) => candidate === argument);
    if (argument !== undefined && state === undefined) return fail("invalid", SAGAS_USAGE);
    return ok({ verb, states: state === undefined ? UNDER_WAY : [state] });
  }
  if (verb !== "retry" || argument === undefined || !isUuid(argument.toLowerCase()))
    return fail("invalid", SAGAS_USAGE);
  return ok({ verb, id: argument });
}

/**
 * `list [state]`: up to 100, oldest first, by default those that have not ended, one JSON object a line.
 * `retry <id>`: lets a stuck one go on where it was.
 * @returns lines to print. Failures: `invalid` (not such a command), `not_found` (no stuck saga of that id), those of the database.
 */
export async function operateSagas(
  database: Database,
  args: readonly string[],
  deadline: Deadline,
): Promise<Result<string[]>> {
  const asked = readSagaCommand(args);
  if (!asked.ok) return asked;
  const store = makeStore(database);
  if (asked.value.verb === "list") {
    const listed = await store.list(asked.value.states, LISTED, deadline);
    return listed.ok ? ok(listed.value.map((saga) => JSON.stringify(saga))) : listed;
  }
  const { id } = asked.value;
  const resumed = await store.resume(id, deadline);
  if (!resumed.ok) return resumed;
  return resumed.value ? ok([`${id} goes on`]) : fail("not_found", `no saga ${id} is stuck`);
}
