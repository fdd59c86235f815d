/** The versioned API: what operators ask and do. */
import { DeadLetterQuery, GapsQuery, SizesQuery } from "../v1/operators.ts";
import {
  answer,
  AT,
  BEHIND,
  body,
  BODY_REFUSALS,
  IDEMPOTENCY_KEY,
  NO_QUERY,
  query,
  RECEIPT_ID,
  ref,
  refusal,
} from "./parts.ts";

const OUTCOME = { matched: 3, done: 3, left: 0, scanned: 120, complete: true, audit_id: RECEIPT_ID };

export const OPERATORS = {
  "/v1/events/queues": {
    get: {
      tags: ["Operators"],
      summary: "Queues: what waits, what is in hand, what is held",
      responses: {
        "200": answer("All of them", {
          schema: ref("QueueList"),
          example: {
            message: "queues",
            data: {
              items: [{ name: "logs.main.v1", role: "work", messages: 0, consumers: 2, in_hand: 12, held: 0 }],
            },
          },
        }),
        ...NO_QUERY,
        ...BEHIND,
      },
    },
  },
  "/v1/events/dead-letters": {
    get: {
      tags: ["Operators"],
      summary: "Messages that nobody could use, oldest first",
      description: "Looking changes nothing. All conditions that are given have to hold.",
      parameters: query(DeadLetterQuery),
      responses: {
        "200": answer("A page of them", {
          schema: ref("DeadLetterPage"),
          example: {
            message: "dead letters",
            data: {
              items: [
                {
                  id: "order-17",
                  parked: "logs",
                  routing_key: "log.INFO",
                  error: "name is needed",
                  at: AT,
                  attempts: 0,
                  bytes: 12,
                  content_type: "application/json",
                  preview: '{"data":"x"}',
                  headers: { "x-error": "name is needed", "x-producer": "shop-1" },
                },
              ],
              scanned: 1,
              complete: true,
            },
          },
        }),
        "422": refusal("A query parameter that is not known or not valid"),
        ...BEHIND,
      },
    },
  },
  "/v1/events/dead-letters/replay": {
    post: {
      tags: ["Operators"],
      summary: "Send dead letters once more",
      description:
        "Under their ids: what is replayed twice is stored once. It stops in time and tells what is `left`; ask again to go on. What was done is an entry `audit` in the log, with whose doing it was.",
      parameters: [IDEMPOTENCY_KEY],
      requestBody: body(ref("ReplayRequest"), {
        "what would be": { error: "deadline", dry_run: true },
        picked: { parked: "logs", ids: ["order-17", "order-18"] },
        some: { routing_key: "log.*", older_than_s: 60, rate: 100, limit: 1_000 },
      }),
      responses: {
        "200": answer(
          "What came of it",
          { schema: ref("DeadLetterOutcome"), example: { message: "3 replayed", data: OUTCOME } },
          ["Idempotent-Replayed"],
        ),
        "409": refusal("Another replay or drop, or the same Idempotency-Key, is under way", "Retry-After"),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
  "/v1/events/dead-letters/drop": {
    post: {
      tags: ["Operators"],
      summary: "Throw dead letters away",
      description: "For good. At least one condition, or `all`. An entry `audit` in the log says what was thrown away.",
      parameters: [IDEMPOTENCY_KEY],
      requestBody: body(ref("DropRequest"), {
        "what would be": { error: "name is needed", dry_run: true },
        one: { id: "order-17" },
      }),
      responses: {
        "200": answer(
          "What came of it",
          { schema: ref("DeadLetterOutcome"), example: { message: "3 dropped", data: OUTCOME } },
          ["Idempotent-Replayed"],
        ),
        "409": refusal("Another replay or drop, or the same Idempotency-Key, is under way", "Retry-After"),
        ...BODY_REFUSALS,
        ...BEHIND,
      },
    },
  },
  "/v1/logs/sizes": {
    get: {
      tags: ["Operators"],
      summary: "How much is stored, by severity, name and day, and what retention removes next",
      description:
        "A minute old at most. `total` is what the server tells of the collection; all else is counted as entries come and go, and approximate.",
      parameters: query(SizesQuery),
      responses: {
        "200": answer("What is stored", {
          schema: ref("LogSizes"),
          example: {
            message: "what is stored",
            data: {
              as_of: AT,
              total: { entries: 100_000, bytes: 45_600_000, disk_bytes: 45_600_000, index_bytes: 21_000_000 },
              counted: { entries: 100_000, bytes: 9_100_000 },
              severities: [{ severity: "INFO", entries: 100_000, bytes: 9_100_000 }],
              names: [{ name: "payment", entries: 100_000, bytes: 9_100_000 }],
              others: { entries: 0, bytes: 0 },
              days: [{ day: "2026-01-31", entries: 100_000, bytes: 9_100_000 }],
              oldest: "2026-01-31",
              newest: "2026-01-31",
              retention: { rules: ["INFO=30d"], due: 0, next_24h: 0 },
            },
          },
        }),
        "422": refusal("A query parameter that is not known or not valid"),
        ...BEHIND,
      },
    },
  },
  "/v1/logs/gaps": {
    get: {
      tags: ["Operators"],
      summary: "Completeness: which numbers of which producer are missing or there twice",
      description:
        "Every producer numbers what it has accepted. `missing` is also what is still on its way: ask again after the queues are empty.",
      parameters: query(GapsQuery),
      responses: {
        "200": answer("One item a producer", {
          schema: ref("GapsReport"),
          example: {
            message: "3 of 100000 are missing",
            data: {
              items: [
                {
                  producer: "broker-01998f5e",
                  last: 100_000,
                  stored: 99_997,
                  missing: 3,
                  missing_ranges: [
                    [17, 18],
                    [70_001, 70_001],
                  ],
                  duplicates: [],
                  first_stored_at: AT,
                  last_stored_at: AT,
                },
              ],
              entries: 99_997,
              missing: 3,
            },
          },
        }),
        "422": refusal("A query parameter that is not known or not valid"),
        ...BEHIND,
      },
    },
  },
};
