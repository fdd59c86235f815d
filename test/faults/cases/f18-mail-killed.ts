/** The mail service is killed (-9) when the mail server has just taken a mail, before that is written down. */
import type { FaultCase } from "../case.ts";
import { startMailing } from "../smtp-double.ts";
import { until } from "../../kit.ts";

/** Until a lease of a process that is gone is over, and the outbox is looked through. */
const LEASES_MS = 20_000;
const FINAL = ["sent", "ambiguous"];
/** With each kill: as many as it sends at once. */
const MAILS = 5;

export const cases: readonly FaultCase[] = [
  {
    id: "F18",
    fault: "mail killed (-9) between the mail server's 250 and the commit",
    promise:
      "no mail is lost; one whose answer was not written down is ambiguous, which is said, and not sent again by itself",
    bar: "lost 0, twice 0 (one per kill would be at least once; here it is at most once), everything at its end ≤ 20 s after the last kill",
    inTests: true,
    async run({ full, random, platform: start, say }) {
      const platform = await start();
      await using mailing = await startMailing(platform);
      const { mail, double } = mailing;
      const kills = full ? 50 : 2;
      const accepted: string[] = [];
      const refused: string[] = [];
      const sending = new Set<Promise<void>>();
      const send = (): void => {
        const id = Bun.randomUUIDv7();
        // Asked again until it is answered, as a job is that was cut: the same id each time.
        const one = mail
          .sendUntilAnswered(id, "you@there.example")
          .then(
            ({ status }) => (status === 202 ? accepted.push(id) : refused.push(`answered ${status}`)),
            (error: unknown) => refused.push(error instanceof Error ? error.message : String(error)),
          )
          .then(() => void sending.delete(one));
        sending.add(one);
      };
      for (let killed = 1; killed <= kills; killed += 1) {
        const afterMs = random() * 3;
        const dead = Promise.withResolvers<void>();
        // Some before the answer has left, some while it is on its way or being written down.
        double.onArrived = () => {
          double.onArrived = undefined;
          const killing = Bun.sleep(afterMs < 1 ? 0 : afterMs).then(() => mail.killAndStart());
          killing.then(dead.resolve, dead.reject);
        };
        for (let more = 0; more < MAILS; more += 1) send();
        await dead.promise;
        if (killed % 10 === 0) say(`${killed} of ${kills} kills`);
      }
      const killedAt = performance.now();
      await Promise.all(sending);
      const states = await until(
        "every mail has its end",
        async () => {
          const views = await Promise.all(accepted.map((id) => mail.view(id)));
          return views.every((view) => view === undefined || FINAL.includes(view.state)) ? views : undefined;
        },
        LEASES_MS,
      );
      const endedMs = performance.now() - killedAt;
      const arrivals = mailing.arrivals();
      const of = (state: string): string[] => accepted.filter((_, index) => states[index]?.state === state);
      const unknown = accepted.filter((_, index) => states[index] === undefined);
      const neverArrived = of("sent").filter((id) => !arrivals.has(id));
      return {
        accepted: accepted.length,
        lost: [...unknown, ...neverArrived],
        twice: [...arrivals].filter(([, times]) => times > 1).map(([id]) => id),
        healMs: Math.round(endedMs),
        figures: {
          kills,
          sent: of("sent").length,
          ambiguous: of("ambiguous").length,
          ambiguous_that_arrived: of("ambiguous").filter((id) => arrivals.has(id)).length,
        },
        broken: refused.length === 0 ? [] : [`${refused.length} mails were refused: ${refused[0]}`],
      };
    },
  },
];
