/** Everything that a mail server may do to a mail, each with the end that it has to have. */
import type { MailView } from "#contracts/mail";
import type { FaultCase } from "../case.ts";
import { type Behaviour, startMailing } from "../smtp-double.ts";
import { over } from "../rabbit.ts";
import { until } from "../../kit.ts";

const DRAIN_MS = 60_000;

interface Class {
  readonly name: string;
  /** What the server does meanwhile; `refused`: nothing listens. */
  readonly server: Partial<Behaviour> | "refused";
  /** What the caller is told, and where the mail stands then. */
  readonly status: number;
  readonly meanwhile: readonly MailView["state"][];
  /** Whether the mail server's answer spends an attempt. */
  readonly attempts: "none" | "some" | "one";
  /** Where it ends when the server is well again. */
  readonly end: MailView["state"];
}

const CLASSES: readonly Class[] = [
  { name: "well", server: {}, status: 202, meanwhile: ["sent"], attempts: "one", end: "sent" },
  { name: "refused", server: "refused", status: 202, meanwhile: ["queued"], attempts: "none", end: "sent" },
  {
    name: "silent",
    server: { greeting: "silent" },
    status: 202,
    meanwhile: ["queued", "sending"],
    attempts: "none",
    end: "sent",
  },
  {
    name: "421 as greeting",
    server: { greeting: "421 4.3.2 closing" },
    status: 202,
    meanwhile: ["queued", "sending"],
    attempts: "none",
    end: "sent",
  },
  {
    name: "421 to MAIL",
    server: { mail: "421 4.3.2 closing" },
    status: 202,
    meanwhile: ["queued", "sending"],
    attempts: "none",
    end: "sent",
  },
  {
    name: "451 to RCPT",
    server: { rcpt: "451 4.7.1 greylisted" },
    status: 202,
    meanwhile: ["deferred", "sending"],
    attempts: "some",
    end: "sent",
  },
  {
    name: "452 to the content",
    server: { end: "452 4.2.2 full" },
    status: 202,
    meanwhile: ["deferred", "sending"],
    attempts: "some",
    end: "sent",
  },
  {
    name: "550 to RCPT",
    server: { rcpt: "550 5.1.1 nobody" },
    status: 422,
    meanwhile: ["failed"],
    attempts: "one",
    end: "failed",
  },
  {
    name: "554 to the content",
    server: { end: "554 5.6.0 spam" },
    status: 422,
    meanwhile: ["failed"],
    attempts: "one",
    end: "failed",
  },
  {
    name: "cut after the content",
    server: { end: "cut" },
    status: 202,
    meanwhile: ["ambiguous", "queued"],
    attempts: "one",
    end: "ambiguous",
  },
  {
    name: "cut in the content",
    server: { cutAfterBytes: 50 },
    status: 202,
    meanwhile: ["ambiguous", "queued"],
    attempts: "one",
    end: "ambiguous",
  },
  {
    name: "slow",
    server: { delayMs: 150 },
    status: 202,
    meanwhile: ["sent", "sending", "queued"],
    attempts: "one",
    end: "sent",
  },
];
const WELL = {
  greeting: "220 double",
  mail: "250 2.1.0 sender ok",
  rcpt: "250 2.1.5 recipient ok",
  data: "354 go on",
  end: "250 2.0.0 taken as 42",
  cutAfterBytes: Number.POSITIVE_INFINITY,
  delayMs: 0,
} satisfies Partial<Behaviour>;

export const cases: readonly FaultCase[] = [
  {
    id: "F19",
    fault: "the mail server refuses, is silent, says 421, 451, 452, 550, 554, cuts, is slow",
    promise:
      "each mail is told and kept as what it is: sent, put off, refused, ambiguous; an absent server costs no attempt",
    bar: `each class right in 100 % of the mails, the queue drained ≤ ${DRAIN_MS / 1_000} s after the server's return, twice 0`,
    inTests: false,
    async run({ full, platform: start, say }) {
      const platform = await start();
      await using mailing = await startMailing(platform, { MAIL_SEND_WAIT_MS: "1000" });
      const { mail, double } = mailing;
      const each = full ? 17 : 1;
      const broken: string[] = [];
      const right: Record<string, number> = {};
      const all: { id: string; to: Class }[] = [];
      let drainMs = 0;

      for (const kind of CLASSES) {
        if (kind.server === "refused") double.stop();
        else Object.assign(double.behaviour, kind.server);
        // Sessions that were opened before are not what this class is about.
        if (kind.server !== "refused" && "greeting" in kind.server) {
          double.stop();
          double.start();
        }
        const mails = Array.from({ length: each }, () => ({ id: Bun.randomUUIDv7(), to: kind }));
        all.push(...mails);
        const wrong: string[] = [];
        await Promise.all(
          mails.map(async ({ id }) => {
            const answer = await mail.sendUntilAnswered(id, "you@there.example");
            const view = await mail.view(id);
            if (answer.status !== kind.status) wrong.push(`answered ${answer.status} ${answer.message}`);
            if (view === undefined || !kind.meanwhile.includes(view.state)) wrong.push(`is ${view?.state} meanwhile`);
            if (kind.attempts === "none" && view?.attempts !== 0) wrong.push(`spent ${view?.attempts} attempts`);
          }),
        );
        double.start();
        Object.assign(double.behaviour, WELL);
        const backAt = performance.now();
        await Promise.all(
          mails.map(async ({ id }) => {
            const ended = await until(
              "its end",
              async () => ((await mail.view(id))?.state === kind.end ? mail.view(id) : undefined),
              DRAIN_MS,
            ).catch(() => undefined);
            if (ended === undefined) {
              wrong.push(`is ${(await mail.view(id))?.state} in the end, not ${kind.end}`);
              return;
            }
            if (kind.attempts === "one" && ended.attempts !== 1) wrong.push(`took ${ended.attempts} attempts`);
            if (kind.attempts === "some" && ended.attempts < 2) wrong.push(`took ${ended.attempts} attempts`);
          }),
        );
        drainMs = Math.max(drainMs, performance.now() - backAt);
        right[kind.name] = mails.length - new Set(wrong).size;
        if (wrong.length > 0) broken.push(`${kind.name}: ${[...new Set(wrong)].slice(0, 3).join("; ")}`);
      }
      say(`${all.length} mails of ${CLASSES.length} classes, drained within ${Math.round(drainMs)} ms`);

      // Content that was refused arrives again when it is tried again: only what was taken counts.
      const taken = new Map<string, number>();
      for (const { content } of double.taken) {
        const id = /^Subject: (\S+)\r?$/m.exec(content)?.[1] ?? "";
        taken.set(id, (taken.get(id) ?? 0) + 1);
      }
      const arrivals = mailing.arrivals();
      return {
        accepted: all.filter(({ to }) => to.status === 202).length,
        lost: all.filter(({ id, to }) => to.end === "sent" && !taken.has(id)).map(({ id }) => id),
        twice: all
          .filter(({ id, to }) => (taken.get(id) ?? 0) > 1 || (to.end === "ambiguous" && (arrivals.get(id) ?? 0) > 1))
          .map(({ id }) => id),
        healMs: Math.round(drainMs),
        figures: { mails: all.length, classes: CLASSES.length, right: Object.values(right).reduce((a, b) => a + b, 0) },
        broken: [...over("the queue drained", drainMs, DRAIN_MS), ...broken],
      };
    },
  },
];
