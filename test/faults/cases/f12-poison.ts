/** Messages that nobody can use, among many that are well. */
import { LOGS_DEAD_LETTER_QUEUE, LOGS_EXCHANGE, routingKeyOf } from "#contracts/events";
import { SEVERITIES } from "#contracts/logs";
import type { FaultCase } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { between, oneOf } from "../../../dev/chaos/random.ts";
import { takeAll, withConfirms } from "../rabbit.ts";
import { concluded } from "../verdicts.ts";

const MIB = 1_048_576;

/** Bodies that no logger can store; each holds the name it is found again by. */
const POISON: Readonly<Record<string, (name: string) => string | Uint8Array>> = {
  "not JSON": (name) => `{"name":"${name}",`,
  "two values": (name) => `{"name":"${name}","data":1} {}`,
  "no object": (name) => JSON.stringify([name]),
  "no data": (name) => JSON.stringify({ name }),
  "no name": (name) => JSON.stringify({ data: name }),
  "a number as name": (name) => JSON.stringify({ name: 7, data: name }),
  "an empty name": (name) => JSON.stringify({ name: "", data: name }),
  "a name that is too long": (name) => JSON.stringify({ name: name.padEnd(256, "x"), data: name }),
  "bad UTF-8": (name) =>
    Buffer.concat([Buffer.from(`{"name":"${name}","data":"`), Uint8Array.of(0xc3, 0x28, 0x22, 0x7d)]),
  "deeper than the limit": (name) => `{"name":"${name}","data":${"[".repeat(60)}1${"]".repeat(60)}}`,
  "more values than the limit": (name) => JSON.stringify({ name, data: Array.from({ length: 50_000 }, () => 1) }),
  "1 MiB of nothing": (name) => Buffer.concat([Buffer.from(name), Buffer.alloc(MIB)]),
  "larger than the limit": (name) => JSON.stringify({ name, data: "x".repeat(4 * MIB) }),
};
/** Bodies that look dangerous and are well; stored as they are, so that each can be compared. */
const INNOCENT: readonly ((name: string) => unknown)[] = [
  (name) => name,
  (name) => ({ constructor: null, where: "sleep(1000)", name }),
  (name) => [name, null, 1e308, "\ufeff🦊", "\u202e"],
  (name) => name.padEnd(20_000, "y"),
  (name) => ({ name, deep: { deeper: { deepest: [{ k: 0 }] } } }),
];

export const cases: readonly FaultCase[] = [
  {
    id: "F12",
    fault: "poison among the events: broken, too deep, too large, not UTF-8",
    promise: "each ends in the dead-letter queue with its reason; its neighbours are stored",
    bar: "lost 0, twice 0, all of the poison and nothing else among the dead letters",
    inTests: true,
    async run({ full, random, platform: start, say }) {
      const platform = await start();
      const history = makeHistory(platform);
      const innocents = full ? 10_000 : 1_000;
      const kinds = Object.keys(POISON);
      const poison = full ? kinds.length * 20 : kinds.length;
      const poisoned = new Map<string, string>();
      const began = performance.now();

      await withConfirms(platform, async (channel) => {
        const publish = (name: string, body: string | Uint8Array): Promise<void> => {
          const id = Bun.randomUUIDv7();
          return new Promise((resolve, reject) => {
            const key = routingKeyOf(oneOf(random, SEVERITIES));
            channel.publish(LOGS_EXCHANGE, key, Buffer.from(body), { persistent: true, messageId: id }, (error) => {
              if (error !== null && error !== undefined) return reject(error as Error);
              history.accept("event", name, { id });
              resolve();
            });
          });
        };
        // Each one of the poison at a place of its own among the innocents.
        const places = Array.from({ length: poison }, () => between(random, 0, innocents - 1)).sort((a, b) => a - b);
        let made = 0;
        for (let at = 0; at < innocents; at += 500) {
          const batch: Promise<void>[] = [];
          for (let index = at; index < Math.min(at + 500, innocents); index += 1) {
            for (; places[made] === index; made += 1) {
              const kind = kinds[made % kinds.length] ?? "";
              const name = history.nextName("event");
              poisoned.set(name, kind);
              batch.push(publish(name, POISON[kind]?.(name) ?? ""));
            }
            const name = history.nextName("event");
            batch.push(publish(name, JSON.stringify({ name, data: oneOf(random, INNOCENT)(name) })));
          }
          await Promise.all(batch);
        }
      });
      say(`${innocents} innocents and ${poisoned.size} of ${kinds.length} kinds of poison are confirmed`);

      const verdict = await history.verdict();
      const tookMs = performance.now() - began;
      const dead = new Set(verdict.deadLettered);
      const escaped = [...poisoned].filter(([name]) => !dead.has(name)).map(([, kind]) => kind);
      const condemned = verdict.deadLettered.filter((name) => !poisoned.has(name));
      // They are this case's own: the next one begins with none.
      const letters = await takeAll(platform, LOGS_DEAD_LETTER_QUEUE);
      const unexplained = letters.filter(({ error }) => error.length < 5 || error === "undefined").length;
      return concluded(verdict, {
        figures: {
          innocents,
          innocents_dead_lettered: condemned.length,
          poison: poisoned.size,
          poison_dead_lettered: poisoned.size - escaped.length,
          took_ms: Math.round(tookMs),
        },
        broken: [
          ...(escaped.length > 0
            ? [`${escaped.length} of the poison not dead-lettered: ${[...new Set(escaped)].join(", ")}`]
            : []),
          ...(condemned.length > 0 ? [`${condemned.length} innocents dead-lettered`] : []),
          ...(unexplained > 0 ? [`${unexplained} dead letters without a reason`] : []),
        ],
        deadLettersExpected: poisoned.size,
      });
    },
  },
];
