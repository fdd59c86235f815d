/** The mail server is killed (-9) again and again while mails are sent. */
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../history.ts";
import { dishonest, makeCalls, startLoad, summarize } from "../load.ts";
import { between } from "../random.ts";
import { killAndBringBack } from "../scene.ts";
import { concluded } from "../verdicts.ts";

/** Of mails whose content may be on its way at a kill: connections of the mail service. */
const AMBIGUOUS_A_KILL = 5;

const killed: FaultCase = {
  id: "F19b",
  fault: "mail server killed (-9) again and again, 20 mails a second",
  promise:
    "every mail is accepted; what the outbox calls sent was delivered once, what it calls ambiguous at most once",
  bar: `lost 0, twice 0, all accepted, ambiguous ≤ ${AMBIGUOUS_A_KILL} a kill`,
  inTests: true,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { mail } = makeCalls(platform, history, random);
    const load = startLoad({ rate: 20, mix: [[mail, 1]], random });
    const kills = full ? 20 : 2;
    for (let n = 0; n < kills; n += 1) {
      await Bun.sleep(between(random, 300, 1_500));
      await killAndBringBack(platform, "smtp", between(random, 100, 1_500));
      // The inbox keeps the newest thousand.
      await history.lookAtInbox();
    }
    await Bun.sleep(500);
    const samples = await load.stop();
    const verdict = await history.verdict();
    const { byDegraded, p99 } = summarize(samples);
    const ambiguous = verdict.ambiguous.length;
    return concluded(verdict, {
      figures: { kills, mails: samples.length, queued: byDegraded["mail=queued"] ?? 0, p99_ms: p99 },
      broken: [
        ...dishonest(samples),
        ...(samples.some(({ status }) => status !== 202) ? ["not every mail was accepted"] : []),
        ...(ambiguous > kills * AMBIGUOUS_A_KILL ? [`${ambiguous} ambiguous`] : []),
      ],
    });
  },
};

export const cases: readonly FaultCase[] = [killed];
