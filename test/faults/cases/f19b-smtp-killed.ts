/** The mail server is killed (-9) again and again while mails are sent, or is away for a minute. */
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, repeat, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { between } from "../../../dev/chaos/random.ts";
import { bringBack, kill, killAndBringBack } from "../../../dev/chaos/scene.ts";
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

const DRAIN_MS = 10_000;

const away: FaultCase = {
  id: "F19c",
  fault: "mail server away for 60 s, 1,000 mails meanwhile",
  promise: "every mail is accepted and sent once when it is back",
  bar: `lost 0, twice 0, all accepted, none ambiguous, the outbox empty ≤ ${DRAIN_MS / 1_000} s after its return`,
  inTests: true,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { mail } = makeCalls(platform, history, random);
    await kill(platform, "smtp");
    const wentAt = performance.now();
    const samples = await repeat(mail, full ? 1_000 : 100, 8);
    await Bun.sleep(Math.max(0, (full ? 60_000 : 3_000) - (performance.now() - wentAt)));
    await bringBack(platform, "smtp");
    const verdict = await history.verdict();
    return concluded(verdict, {
      ...(verdict.drainMs === undefined ? {} : { healMs: verdict.drainMs }),
      figures: { mails: samples.length, p99_ms: summarize(samples).p99 },
      broken: [
        ...dishonest(samples),
        ...(samples.some(({ status }) => status !== 202) ? ["not every mail was accepted"] : []),
        ...(verdict.ambiguous.length > 0 ? [`${verdict.ambiguous.length} ambiguous`] : []),
      ],
      drainWithinMs: DRAIN_MS,
    });
  },
};

export const cases: readonly FaultCase[] = [killed, away];
