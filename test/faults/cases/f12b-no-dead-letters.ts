/** Events that nobody can use, at a moment at which dead letters can't be taken. */
import { LOGS_DEAD_LETTER_EXCHANGE, LOGS_EXCHANGE } from "#contracts/events";
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { withChannel, withConfirms } from "../rabbit.ts";
import { untilLogsWell } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const refused: FaultCase = {
  id: "F12b",
  fault: "exchange of dead letters deleted again and again while poison arrives",
  promise: "a message leaves its queue only once RabbitMQ has confirmed it as a dead letter",
  bar: "lost 0: all of the poison among the dead letters",
  inTests: true,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    await untilLogsWell(platform);
    const rounds = full ? 30 : 2;
    const poison = 50;
    await withConfirms(platform, async (channel) => {
      for (let round = 0; round < rounds; round += 1) {
        await withChannel(platform, (other) => other.deleteExchange(LOGS_DEAD_LETTER_EXCHANGE));
        for (let n = 0; n < poison; n += 1) {
          const name = history.nextName("event");
          const messageId = Bun.randomUUIDv7();
          channel.publish(LOGS_EXCHANGE, "log.INFO", Buffer.from(`no JSON ${name}`), { persistent: true, messageId });
          // What a broken connection loses here was never confirmed: then the case itself fails.
          history.accept("event", name, { id: messageId });
        }
        await channel.waitForConfirms();
        await Bun.sleep(300 + 700 * random());
      }
    });
    const verdict = await history.verdict();
    const dead = verdict.deadLettered.length;
    return concluded(verdict, {
      figures: { poison: rounds * poison, dead_lettered: dead },
      deadLettersExpected: rounds * poison,
      broken: dead < rounds * poison ? [`only ${dead} of ${rounds * poison} are dead letters`] : [],
    });
  },
};

export const cases: readonly FaultCase[] = [refused];
