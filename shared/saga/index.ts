/**
 * Workflows of several steps whose state is durable in the service's own PostgreSQL: each step is run at least once,
 * in order; either all of them, or what was done is undone. How to write one: docs/workflows.md.
 */
import type { Migration } from "#shared/postgres";
import sql from "./migrations/sagas.sql" with { type: "text" };

export { again, defineSaga, done, keyOf, uuidOf } from "./define.ts";
export { operateSagas, readSagaCommand, SAGAS_USAGE } from "./operate.ts";
export { runSagas, type Sagas, type SagasOptions } from "./runner.ts";
export {
  type Saga,
  type SagaDefinition,
  type SagaState,
  type SagaView,
  type Step,
  type StepContext,
  type StepOutcome,
} from "./types.ts";

/** The table of sagas, as a step of the schema of the service that has them. */
export function sagasMigration(version: number): Migration {
  return { version, name: "sagas", sql };
}
