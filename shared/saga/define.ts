/** Definitions of sagas, and what steps answer with. */
import { ok, type Result } from "#shared/errors";
import { asUuidV8, uuidText } from "#shared/ids";
import { traceparentOf } from "#shared/telemetry";
import type { Saga, SagaDefinition, StepOutcome } from "./types.ts";

/** The step is over; `patch` is put over the saga's data. */
export function done<D extends object>(patch: Partial<D> = {}): Result<StepOutcome<D>> {
  return ok({ done: patch });
}

/** Not yet: look again in so many milliseconds. No failure, and no limit on how often. */
export function again(ms: number): Result<{ readonly againInMs: number }> {
  return ok({ againInMs: ms });
}

/** @throws where two steps have the same name: a mistake of the program. */
export function defineSaga<D extends object>(definition: SagaDefinition<D>): Saga<D> {
  const { name, steps } = definition;
  if (new Set(steps.map((step) => step.name)).size < steps.length) throw new Error(`${name}: two steps of one name`);
  return {
    ...definition,
    async start(sql, id, data, { requestId, trace }) {
      const rows = await sql`
        insert into sagas (id, name, state, step, data, request_id, traceparent)
        values (${id}, ${name}, 'running', ${steps[0].name}, ${JSON.stringify(data)}::text::jsonb, ${requestId},
          ${traceparentOf(trace)})
        on conflict (id) do nothing
        returning id`;
      return rows.length === 1;
    },
  };
}

/** UUID (version 8, RFC 9562 §5.8) that follows from its parts. */
export function uuidOf(...parts: readonly string[]): string {
  return uuidText(asUuidV8(new Bun.CryptoHasher("sha256").update(JSON.stringify(parts)).digest()));
}

/** The idempotency key of a step: what it causes elsewhere can be named before it is run. */
export function keyOf(sagaId: string, step: string, direction: "run" | "undo" = "run"): string {
  return uuidOf("saga", sagaId, step, direction);
}
