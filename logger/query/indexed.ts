/** Reads by the server's own indexes: MongoDB. */
import { type Filter, ObjectId } from "mongodb";
import type { LogFilter } from "#contracts/log-queries";
import type { LogDocument } from "../documents.ts";
import { boundsOf } from "../driver.ts";
import type { Logs } from "../mongo.ts";
import { TEXT_INDEX } from "../prepare.ts";
import { makeMatcher, wordsOf } from "./filter.ts";
import { bytesOf, itemOf } from "./item.ts";
import { ANSWER_MS, type FoundItem, PAGE_BYTES, type Place, type Reader } from "./reader.ts";

/** Entries that one page looks at where the server decides only a part of the filter. */
const LOOKED_AT_MAX = 20_000;
const BATCH = 1_000;

/** What the server decides: values only, each under `$eq` or `$in`, so that none of them can be an operator. */
export function conditionsOf(filter: LogFilter, hasText: boolean): Filter<LogDocument>[] {
  const { name, severity, from, to, producer, trace_id, request_id, event_id, data = [], q } = filter;
  const is = (field: string, value: unknown): Filter<LogDocument>[] =>
    value === undefined ? [] : [{ [field]: { $eq: value } }];
  const isOne = (field: string, values: readonly string[] | undefined): Filter<LogDocument>[] =>
    values === undefined ? [] : [{ [field]: values.length === 1 ? { $eq: values[0] } : { $in: values } }];
  const times = {
    ...(from === undefined ? {} : { $gte: new Date(from) }),
    ...(to === undefined ? {} : { $lt: new Date(to) }),
  };
  return [
    ...is("event_id", event_id),
    ...is("trace_id", trace_id),
    ...is("request_id", request_id),
    ...is("producer_id", producer),
    ...isOne("name", name),
    ...isOne("severity", severity),
    ...(from === undefined && to === undefined ? [] : [{ created_at: times }]),
    ...data.flatMap(({ path, equals }) => is(`data.${path}`, equals)),
    // Each word as a phrase of its own: all of them have to be there. Words hold no quotation marks.
    ...(q === undefined || !hasText
      ? []
      : [
          {
            $text: {
              $search: wordsOf(q)
                .map((word) => `"${word}"`)
                .join(" "),
            },
          },
        ]),
  ];
}

/** In the order of entries, those behind a place. */
function behind({ at, id }: Place): Filter<LogDocument>[] {
  const time = new Date(at);
  return [{ created_at: { $lte: time } }, { $or: [{ created_at: { $lt: time } }, { _id: { $lt: new ObjectId(id) } }] }];
}

const allOf = (conditions: readonly Filter<LogDocument>[]): Filter<LogDocument> =>
  conditions.length === 0 ? {} : { $and: [...conditions] };

async function hasTextIndex(logs: Logs): Promise<boolean> {
  return (await logs.listIndexes().toArray()).some(({ name }) => name === TEXT_INDEX);
}

export function makeIndexReader(): Reader {
  return {
    async page(logs, filter, after, limit, deadline) {
      const hasText = filter.q !== undefined && (await deadline.bound(hasTextIndex(logs), "MongoDB"));
      const conditions = conditionsOf(filter, hasText);
      const isMatch = makeMatcher(filter);
      // A field of `data` may be a list there that has the value, or a text that is kept in another form.
      const isDecided = filter.q === undefined && filter.data === undefined;
      const items: FoundItem[] = [];
      let looked = 0;
      let bytes = 0;
      let last = after;
      let isMore = true;
      const isSpent = (): boolean => items.length >= limit || bytes > PAGE_BYTES || looked >= LOOKED_AT_MAX;
      while (isMore && !isSpent() && (looked === 0 || deadline.remainingMs() > ANSWER_MS)) {
        // Where the server decides it all, what it gives is what is asked for.
        const wanted = isDecided ? limit - items.length : BATCH;
        const cursor = logs
          .find(allOf([...conditions, ...(last === undefined ? [] : behind(last))]), {
            ...boundsOf(deadline),
            batchSize: BATCH,
          })
          .sort({ created_at: -1, _id: -1 })
          .limit(wanted);
        isMore = false;
        let seen = 0;
        try {
          for await (const document of cursor) {
            seen += 1;
            looked += 1;
            last = { at: document.created_at.getTime(), id: document._id.toHexString() };
            const item = itemOf(document);
            if (isMatch(item)) {
              const size = bytesOf(document);
              bytes += size;
              items.push({ item, bytes: size, place: last });
            }
            if (isSpent()) break;
          }
        } finally {
          await cursor.close();
        }
        // Another one than the last of all may be behind it: the next page tells.
        isMore = seen === wanted || isSpent();
      }
      return {
        items,
        ...(isMore && last !== undefined ? { next: last } : {}),
        ...(filter.q === undefined ? {} : { text: hasText ? "index" : "pattern" }),
      };
    },
    async count(logs, filter, { from, to, intervalMs }, count, deadline) {
      const range = { ...filter, from: new Date(from).toISOString(), to: new Date(to).toISOString() };
      const hasText = filter.q !== undefined && (await deadline.bound(hasTextIndex(logs), "MongoDB"));
      const options = boundsOf(deadline);
      const conditions = conditionsOf(range, hasText);
      if (filter.q !== undefined || filter.data !== undefined) {
        // What the server takes for equal, or for a word, is a little more than what is asked for: see `page`.
        const isMatch = makeMatcher(range);
        for await (const document of logs.find(allOf(conditions), options)) {
          const item = itemOf(document);
          const at = Date.parse(item.created_at);
          if (isMatch(item)) count(Math.floor(at / intervalMs) * intervalMs, item.name, item.severity, 1);
        }
        return;
      }
      const bucket = {
        $subtract: [{ $toLong: "$created_at" }, { $mod: [{ $toLong: "$created_at" }, intervalMs] }],
      };
      const groups = logs.aggregate<{ _id: { at: number; name: string; severity: string }; entries: number }>(
        [
          // A text search has to be in the first stage.
          { $match: allOf(conditions) },
          { $group: { _id: { at: bucket, name: "$name", severity: "$severity" }, entries: { $sum: 1 } } },
        ],
        options,
      );
      for await (const { _id, entries } of groups) count(_id.at, _id.name, _id.severity, entries);
    },
  };
}
