/** The mail service is killed (-9) when the mail server has just taken a mail, before that is written down. */
import type { FaultCase } from "../case.ts";
import { startMailing } from "../smtp-double.ts";
import { until } from "../../kit.ts";

/** Until a lease of a process that is gone is over, and the outbox is looked through. */
const LEASES_MS = 20_000;
const FINAL = ["sent", "ambiguous"];

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
      const sending = new Set<Promise<void>>();
      const send = (): void => {
        const id = Bun.randomUUIDv7();
        // Asked again until it is answered, as a job is that was cut: the same id each time.
        const one = mail.sendUntilAnswered(id, "you@there.example").then(({ status }) => {
          if (status === 202) accepted.push(id);
          sending.delete(one);
        });
        sending.add(one);
      };
      let killed = 0;
      for (; killed < kills; killed += 1) {
        await mail.untilReady();
        const { pid } = mail;
        const afterMs = random() * 3;
        let armed = true;
        // Some before the answer has left, some while it is on its way or being written down.
        double.onArrived = () => {
          if (!armed) return;
          armed = false;
          if (afterMs < 1) mail.kill();
          else setTimeout(() => mail.kill(), afterMs);
        };
        for (let more = 0; more < 5; more += 1) send();
        await until("it is killed", () => mail.pid !== pid, 30_000);
        if ((killed + 1) % 10 === 0) say(`${killed + 1} of ${kills} kills`);
      }
      double.onArrived = undefined;
      await mail.untilReady();
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
        broken: [
          ...(accepted.length === kills * 5 ? [] : [`${kills * 5 - accepted.length} mails were refused`]),
          ...(of("ambiguous").length <= kills * 5 ? [] : ["more ambiguous mails than were in hand at the kills"]),
        ],
      };
    },
  },
];
