/** A page of what is parked. Its cursor holds also where messages before it have been replayed or dropped meanwhile. */
import { Type } from "@sinclair/typebox";
import { type DeadLetter, type DeadLetterPage, Parked } from "#contracts/dead-letters";
import type { ParkedMessage, ParkedQueues, Topology } from "#shared/amqp";
import { fail, ok, type Result } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import { makeValidator } from "#shared/validation";
import { fingerprintOf, headersOf, letterOf, parkedQueues } from "./view.ts";

/** Messages that are looked at for one page, and before it begins. */
const MAX_LOOKED = 10_000;
const MAX_SKIPPED = 1_000_000;
/** A page as JSON, about (bytes). */
const MAX_BYTES = 4 * 1_048_576;

/** Where a page ended: after how many messages of a queue, and which were the last ones. */
const Place = Type.Object({
  parked: Parked,
  /** 0: at its beginning. */
  position: Type.Integer({ minimum: 0, maximum: MAX_SKIPPED }),
  mark: Type.String({ maxLength: 100 }),
});
type Place = typeof Place.static;

const placeOf = makeValidator(Place, { name: "cursor", unknown: "refuse" });

export interface PageReaderOptions {
  readonly topology: Topology;
  readonly open: () => Promise<Result<ParkedQueues>>;
}

export function makePageReader({ topology, open }: PageReaderOptions) {
  const queueOf = parkedQueues(topology);

  return async (
    names: readonly Parked[],
    isMeant: (message: ParkedMessage, parked: Parked) => boolean,
    { limit, cursor }: { readonly limit: number; readonly cursor: string | undefined },
    deadline: Deadline,
  ): Promise<Result<DeadLetterPage>> => {
    const from = cursor === undefined ? undefined : readCursor(cursor);
    if (from === "bad" || (from !== undefined && !names.includes(from.parked))) {
      return fail("invalid", "cursor is none of this list");
    }
    const opened = await open();
    if (!opened.ok) return opened;
    await using parked = opened.value;
    const items: DeadLetter[] = [];
    let bytes = 0;
    let scanned = 0;

    /** One queue, from `after` on. @returns where the page ended in it, undefined where it ended with the queue, or that `after` is gone. */
    async function read(name: Parked, after: Place | undefined): Promise<Result<Place | "gone" | undefined>> {
      const marks = ["", "", ""];
      let position = 0;
      let skipping = after !== undefined && after.position > 0;
      const looked = await parked.look({
        queue: queueOf.get(name) ?? "",
        deadline,
        max: (after?.position ?? 0) + MAX_LOOKED - scanned,
        choose(message) {
          position += 1;
          marks.push(fingerprintOf(message));
          marks.shift();
          if (skipping) {
            skipping = marks.join(",") !== after?.mark;
          } else {
            scanned += 1;
            if (isMeant(message, name)) {
              const letter = { ...letterOf(message, name, topology), headers: headersOf(message) };
              items.push(letter);
              bytes += JSON.stringify(letter).length;
            }
          }
          return false;
        },
        enough: () =>
          items.length >= limit ||
          bytes >= MAX_BYTES ||
          scanned >= MAX_LOOKED ||
          (skipping && position === after?.position),
      });
      if (!looked.ok) return looked;
      if (skipping && !(looked.value.complete || position === after?.position)) return ok(after);
      if (skipping) return ok("gone");
      return ok(looked.value.complete ? undefined : { parked: name, position, mark: marks.join(",") });
    }

    for (const name of names.slice(from === undefined ? 0 : names.indexOf(from.parked))) {
      if (items.length >= limit || scanned >= MAX_LOOKED) {
        return ok({
          items,
          next_cursor: writeCursor({ parked: name, position: 0, mark: "" }),
          scanned,
          complete: false,
        });
      }
      const after = name === from?.parked ? from : undefined;
      let ended = await read(name, after);
      // What came before is gone: from the beginning, since to see something twice is better than not to see it.
      if (ended.ok && ended.value === "gone") ended = await read(name, undefined);
      if (!ended.ok) return ended;
      if (ended.value === undefined || ended.value === "gone") continue;
      return ok({ items, next_cursor: writeCursor(ended.value), scanned, complete: false });
    }
    return ok({ items, scanned, complete: true });
  };
}

function writeCursor(place: Place): string {
  return Buffer.from(JSON.stringify(place)).toString("base64url");
}

function readCursor(cursor: string): Place | "bad" {
  try {
    const place = placeOf(JSON.parse(Buffer.from(cursor, "base64url").toString()));
    return place.ok ? place.value : "bad";
  } catch {
    return "bad";
  }
}
