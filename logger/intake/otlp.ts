/** Log records of OTLP to the store, each by itself. */
import { asUuidV8, uuidText } from "#shared/ids";
import { fail, ok, type Result } from "#shared/errors";
import type { OtlpEntry } from "#shared/otlp";
import type { CallContext } from "#shared/telemetry";
import type { Entries } from "../entries.ts";
import { inStore } from "../spans.ts";

/** The same id for the same record, so that what an exporter sends again is stored once. */
function eventIdOf({ key, copy }: OtlpEntry): string {
  const hash = new Bun.CryptoHasher("sha256").update(`otlp\0${copy}\0${key}`).digest();
  return uuidText(asUuidV8(hash));
}

/**
 * One span for all of them, in the trace of the request: of their own traces they are stored with the ids, and are no part, since
 * those have spans of others who know nothing of this.
 * @returns what became of each, in order.
 */
export function takeRecords(
  entries: Pick<Entries, "takeFrom">,
  records: readonly Result<OtlpEntry>[],
  context: CallContext,
): Promise<Result<void>[]> {
  const takeAll = (within: CallContext) =>
    Promise.all(
      records.map(async (record): Promise<Result<void>> => {
        if (!record.ok) return record;
        const { name, data, severity, createdAt, traceId } = record.value;
        const entry = {
          name,
          data,
          severity,
          event_id: eventIdOf(record.value),
          ...(createdAt === undefined ? {} : { created_at: createdAt }),
        };
        const own = traceId === undefined ? within : { ...within, trace: { ...within.trace, traceId } };
        const taken = await entries.takeFrom("otlp", entry, own);
        if (!taken.ok) return taken;
        return taken.value === "conflict" ? fail("invalid", "another record has its log.record.uid") : ok();
      }),
    );
  return inStore(context, records.length, takeAll, 0);
}
