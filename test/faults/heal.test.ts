/**
 * Each part is killed (-9) while requests of every kind run. Meanwhile answers are honest; what was accepted arrives
 * once; and within 5 s of the part's return everything works as if nothing had been.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { BACKING_NAMES } from "../../dev/backing/types.ts";
import { SERVICE_NAMES } from "../../dev/services.ts";
import { ALONE_START_MS, alone, type Answered, HAS_BACKING, type Platform, startPlatform, until } from "../kit.ts";

const HEAL_MS = 5_000;
/** Machines are shared: that it heals so soon is seen in one of so many kills; that it heals, and what it loses, in each. */
const TRIES = 3;
const HEALED_AT_LAST_MS = 30_000;
/** From the kill until our supervisor has the part running again (ms): RabbitMQ takes seconds to start. */
const RETURN_MS = 60_000;
/** What a client may be told while a part is away. */
const HONEST = new Set([200, 202, 502, 503, 504]);

let count = 0;
const uniqueName = (): string => `heal-${process.pid}-${(count += 1)}`;

describe.skipIf(!HAS_BACKING)("killed parts (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  let turn: Disposable;
  beforeAll(async () => {
    turn = await alone();
    platform = await startPlatform({ env: { MAIL_SMTP_ATTEMPT_TIMEOUT_MS: "5000" } });
  }, ALONE_START_MS);
  afterAll(async () => {
    await platform?.[Symbol.asyncDispose]();
    turn?.[Symbol.dispose]();
  }, 60_000);

  const log = (name: string) => platform.handle({ action: "log", log: { name, data: name } });
  const auth = () => platform.handle({ action: "auth", auth: { email: "admin@example.com", password: "verysecret" } });
  const mail = (subject: string) =>
    platform.handle({ action: "mail", mail: { from: "me@example.com", to: "you@there.com", subject, message: "m" } });

  /** One request of each kind, none degraded, each followed to its end. */
  async function allWell(): Promise<boolean> {
    const name = uniqueName();
    const hits = await platform.entries.countDocuments({ name: "broker_hit" });
    const [hit, logged, user, mailed] = await Promise.all([
      platform.post("broker", "/", ""),
      log(name),
      auth(),
      mail(name),
    ]);
    return (
      hit.status === 200 &&
      logged.body.message.startsWith("Logged via RPC") &&
      user.status === 202 &&
      mailed.body.message.startsWith("Message sent") &&
      (await platform.entries.countDocuments({ name: "broker_hit" })) > hits
    );
  }

  test.each([...SERVICE_NAMES, ...BACKING_NAMES])(
    "%s",
    async (name) => {
      const part = platform.stack.part(name);
      const accepted: string[] = [];
      const mailed = new Map<string, string>();
      const dishonest: string[] = [];
      const enough = new AbortController();
      const note = (answer: Answered, onAccepted: () => void): void => {
        if (answer.status === 202) onAccepted();
        if (!HONEST.has(answer.status)) dishonest.push(`${answer.status} ${answer.body.message}`);
      };
      const load = (async () => {
        while (!enough.signal.aborted) {
          const id = uniqueName();
          // The broker itself being away is a refused connection: nothing was accepted then.
          await Promise.allSettled([
            log(id).then((answer) => note(answer, () => accepted.push(id))),
            mail(id).then((answer) => note(answer, () => mailed.set((answer.body.data as { id: string }).id, id))),
            auth().then((answer) => note(answer, () => undefined)),
          ]);
          await Bun.sleep(20);
        }
      })();
      await until("some accepted before", () => accepted.length > 5);
      const healedMs: number[] = [];
      do {
        const pid = part.pid;
        expect(pid).toBeDefined();
        part.kill("SIGKILL");
        await until(
          `${name} started again`,
          () => part.pid !== undefined && part.pid !== pid && part.state === "running",
          RETURN_MS,
        );
        const startedAt = performance.now();
        await until("all well", allWell, HEALED_AT_LAST_MS);
        healedMs.push(performance.now() - startedAt);
      } while (Math.min(...healedMs) > HEAL_MS && healedMs.length < TRIES);
      expect(Math.min(...healedMs)).toBeLessThan(HEAL_MS);
      enough.abort();
      await load;

      expect(dishonest).toEqual([]);
      await until(
        "every accepted entry stored",
        async () => {
          const stored = await platform.entries.distinct("name", { name: { $in: accepted } });
          return stored.length === accepted.length;
        },
        20_000,
      );
      expect(await platform.entries.countDocuments({ name: { $in: accepted } })).toBe(accepted.length);
      // A mail whose content was on its way when the part died is `ambiguous`: not sent again by itself, and said so.
      const ids = [...mailed.keys()];
      const states = await until(
        "every accepted mail's end",
        async () => {
          const known = await platform.outbox(ids);
          return ids.every((id) => ["sent", "ambiguous"].includes(known.get(id) ?? "")) ? known : undefined;
        },
        60_000,
      );
      const sent = ids.filter((id) => states.get(id) === "sent").map((id) => mailed.get(id));
      const delivered = (await platform.inbox())
        .map((letter) => letter.Subject)
        .filter((subject) => [...mailed.values()].includes(subject));
      expect(new Set(delivered).size).toBe(delivered.length);
      expect(sent.filter((subject) => !delivered.includes(subject ?? ""))).toEqual([]);
      expect(ids.length - sent.length).toBeLessThanOrEqual(5 * healedMs.length);
    },
    TRIES * (RETURN_MS + HEALED_AT_LAST_MS) + 90_000,
  );
});
