/** Several entries of one request, each with an outcome of its own. */
import type { BatchItem } from "#contracts/broker";
import { LOG_BATCH_MAX, LogRequest } from "#contracts/logs";
import { Failure, fail, ok, type Result } from "#shared/errors";
import { asUuidV8, uuidText } from "#shared/ids";
import type { CallContext } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { Entries } from "../entries.ts";
import { inStore } from "../spans.ts";

const requestOf = makeValidator(LogRequest, { name: "entry" });

/** The key becomes the id: the same for the same key and place, at any replica. */
function eventIdOf(key: string, index: number): string {
  return uuidText(asUuidV8(new Bun.CryptoHasher("sha256").update(`logs\0${index}\0${key}`).digest()));
}

/**
 * Takes what a client of `POST /logs` sent as one entry.
 * @param key its Idempotency-Key, where it has one. @param index its place among the others of the request.
 * @returns as `takeRequest`; failure `invalid` where the key was used before for another entry.
 */
export async function takeKeyed(
  entries: Pick<Entries, "takeRequest" | "takeFrom">,
  value: unknown,
  { key, index = 0 }: { key: string | undefined; index?: number },
  context: CallContext,
): Promise<Result<void>> {
  if (key === undefined) return entries.takeRequest(value, context);
  const valid = requestOf(value);
  if (!valid.ok) return valid;
  const { name, data, severity } = valid.value;
  const entry = { name, data, event_id: eventIdOf(key, index), ...(severity === undefined ? {} : { severity }) };
  const taken = await entries.takeFrom("http", entry, context);
  if (!taken.ok) return taken;
  return taken.value === "conflict" ? fail("invalid", "Idempotency-Key was used before for another entry") : ok();
}

/** @throws Failure `invalid` for none, or more than 1,000. @returns an outcome an entry, in order. */
export async function takeAll(
  entries: Pick<Entries, "takeRequest" | "takeFrom">,
  values: readonly unknown[],
  key: string | undefined,
  context: CallContext,
): Promise<BatchItem[]> {
  if (values.length === 0) throw new Failure("invalid", "a batch needs at least one entry");
  if (values.length > LOG_BATCH_MAX) throw new Failure("invalid", `a batch has at most ${LOG_BATCH_MAX} entries`);
  const results = await inStore(context, values.length, (within) =>
    Promise.all(values.map((value, index) => takeKeyed(entries, value, { key, index }, within))),
  );
  return results.map((result) =>
    result.ok
      ? { status: 202, error: false, message: "logged" }
      : { status: result.error.status, error: true, message: result.error.message },
  );
}
