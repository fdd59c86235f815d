/** PostgreSQL ends its connections, stops at once, is restarted. */
import postgres from "postgres";
import type { FaultCase } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { dishonest, makeCalls, type Sample, startLoad } from "../../../dev/chaos/load.ts";
import { bringBack } from "../../../dev/chaos/scene.ts";
import { over } from "../rabbit.ts";
import { concluded } from "../verdicts.ts";
import { type Platform, until } from "../../kit.ts";

const HEAL_MS = 5_000;
/** Calls a second, where the machine bears them: halved until none fails, and none comes late, while nothing is wrong. */
const RATE = 20;
const LEAST_RATE = 2.5;
const UNDISTURBED_MS = 1_500;
const LATE_MS = 500;

/** Ends every connection of the two services that use it; the server itself is well. @returns how many. */
async function terminateBackends(platform: Platform): Promise<number> {
  const sql = postgres(platform.stack.part("postgres").url, { max: 1 });
  try {
    const ended = await sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('users', 'mail') AND pid <> pg_backend_pid()`;
    return ended.length;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

export const cases: readonly FaultCase[] = [
  {
    id: "F17",
    fault: "PostgreSQL ends its connections, stops at once, is restarted",
    promise:
      "logins are answered or refused with 503, mails are accepted or refused honestly; ended connections are not noticed; everything heals by itself",
    bar: `lost 0, twice 0, no failure for ended connections, logins and mails well ≤ ${HEAL_MS / 1_000} s after its return`,
    inTests: true,
    async run({ full, random, platform: start, say }) {
      const platform = await start();
      const history = makeHistory(platform);
      const { login, mail } = makeCalls(platform, history, random);
      const well = async (): Promise<number> => {
        const began = performance.now();
        await until(
          "logins and mails are well",
          async () => {
            const [user, letter] = await Promise.all([login.run(), mail.run()]);
            return user.status === 202 && letter.status === 202 && letter.degraded === undefined;
          },
          30_000,
        );
        return performance.now() - began;
      };
      const mix = [
        [login, 1],
        [mail, 1],
      ] as const;
      const isWell = ({ status, degraded }: Sample): boolean => status === 202 && degraded === undefined;
      let rate = RATE;
      for (; rate > LEAST_RATE; rate /= 2) {
        const undisturbed = startLoad({ rate, random, mix });
        await Bun.sleep(UNDISTURBED_MS);
        if ((await undisturbed.stop()).every((sample) => isWell(sample) && sample.ms < LATE_MS)) break;
      }
      const rounds = full ? 10 : 1;
      const samples: Sample[] = [];
      const broken: string[] = [];
      let ended = 0;
      let unnoticed = 0;
      let healMs = 0;
      for (let round = 1; round <= rounds; round += 1) {
        const load = startLoad({ rate, random, mix });
        for (let times = 0; times < (full ? 4 : 2); times += 1) {
          await Bun.sleep(500);
          ended += await terminateBackends(platform);
        }
        await Bun.sleep(500);
        const quiet = [...(await load.stop())];
        samples.push(...quiet);
        // It keeps the newest 1,000 only.
        await history.lookAtInbox();
        const failed = quiet.filter((sample) => !isWell(sample));
        unnoticed += quiet.length - failed.length;
        if (failed.length > 0)
          broken.push(
            `${failed.length} of ${quiet.length} calls noticed ended connections: ${failed[0]?.status} ${failed[0]?.said ?? failed[0]?.degraded}`,
          );

        const part = platform.stack.part("postgres");
        for (const how of ["immediate", "restart"] as const) {
          const during = startLoad({ rate, random, mix });
          await Bun.sleep(500);
          // SIGQUIT is the immediate shutdown: no checkpoint, recovery at the next start.
          if (how === "immediate") part.kill("SIGQUIT");
          await part.stop();
          await Bun.sleep(full ? 3_000 : 500);
          await bringBack(platform, "postgres");
          const tookMs = await well();
          healMs = Math.max(healMs, tookMs);
          samples.push(...(await during.stop()));
          await history.lookAtInbox();
          say(`round ${round} of ${rounds}, ${how}: well ${Math.round(tookMs)} ms after its return`);
        }
      }
      const verdict = await history.verdict({ withinMs: 90_000 });
      const refused = samples.filter(({ status }) => status !== 202);
      return concluded(verdict, {
        healMs,
        figures: {
          rounds,
          calls_per_s: rate,
          calls: samples.length,
          connections_ended: ended,
          calls_meanwhile: unnoticed,
          refused_while_away: refused.length,
        },
        broken: [
          ...over("logins and mails well", healMs, HEAL_MS),
          ...dishonest(samples),
          ...(refused.every(({ status }) => status === 503 || status === 504 || status === 502)
            ? []
            : ["refused with another status than 502, 503, 504"]),
          ...broken,
        ],
      });
    },
  },
];
