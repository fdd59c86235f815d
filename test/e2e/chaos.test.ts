/** Breaking a running platform over the API: one at a time, healed in any case, and a verdict that an independent count confirms. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ChaosExperiment, ChaosOverview, ChaosReport } from "#contracts/chaos";
import { HAS_BACKING, type Platform, START_MS, startPlatform, until } from "../kit.ts";

/** Longest that one fault of two seconds takes with healing, draining and counting (ms). */
const VERDICT_MS = 120_000;

describe.skipIf(!HAS_BACKING)("breaking a platform that runs (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  beforeAll(async () => {
    platform = await startPlatform({ chaos: true });
  }, START_MS);
  afterAll(() => platform?.[Symbol.asyncDispose](), 60_000);

  interface Told<T> {
    readonly status: number;
    readonly message: string;
    readonly data: T;
  }
  async function ask<T>(method: string, path: string, body?: unknown): Promise<Told<T>> {
    const answer = await fetch(`${platform.url("broker")}/v1/chaos${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const { message, data } = (await answer.json()) as { message: string; data: T };
    return { status: answer.status, message, data };
  }
  const start = (body: unknown) => ask<ChaosExperiment>("POST", "/experiments", body);
  const ended = (id: string) =>
    until(
      "the experiment is over",
      async () => {
        const { data } = await ask<ChaosExperiment>("GET", `/experiments/${id}`);
        return data.ended_at === undefined ? undefined : data;
      },
      VERDICT_MS,
    );

  test("what can be broken is told, and what makes no sense is refused in words", async () => {
    const { data } = await ask<ChaosOverview>("GET", "");
    expect(data.parts.map(({ name }) => name).toSorted()).toEqual([
      "auth",
      "broker",
      "listener",
      "logger",
      "mail",
      "mongodb",
      "postgres",
      "rabbitmq",
      "smtp",
    ]);
    expect(data.parts.find(({ name }) => name === "logger")?.offers.length).toBe(8);
    expect(data.suite.steps.length).toBe(24);
    const refused = [
      [{ fault: "kill", part: "nobody" }, "there is no such part"],
      [{ fault: "freeze", part: "postgres" }, "many processes"],
      [{ fault: "kill" }, "which fault of which part"],
      [{ suite: true, part: "logger" }, "leave them out"],
      [{ fault: "kill", part: "logger", seconds: 61 }, "seconds"],
      [{ fault: "kill", part: "logger", rate: 0 }, "rate"],
      [{ fault: "burn", part: "logger" }, "fault"],
    ] as const;
    for (const [body, words] of refused) {
      const answer = await start(body);
      expect([answer.status, answer.message]).toEqual([422, expect.stringContaining(words)]);
    }
    expect((await ask("GET", `/experiments/${crypto.randomUUID()}`)).status).toBe(404);
    expect((await ask("GET", "/reports/..%2f..%2fstate")).status).toBe(404);
  });

  test(
    "the mail service is killed under load; meanwhile nothing else can be; all that was accepted is counted from the stores",
    async () => {
      const begun = await start({ fault: "kill", part: "mail", seconds: 2, rate: 30 });
      expect(begun.status).toBe(202);
      expect(await start({ suite: true })).toMatchObject({ status: 409 });
      const { id } = begun.data;
      const done = await ended(id);
      expect(done.results.map(({ fault, part, outcome }) => [fault, part, outcome])).toEqual([
        ["kill", "mail", "finished"],
      ]);
      expect(done.samples.length).toBeGreaterThan(3);
      const { data: report } = await ask<ChaosReport>("GET", `/reports/${id}`);
      const { verdict } = report;
      if (verdict === undefined) throw new Error("there is no verdict");
      expect(verdict).toMatchObject({ lost: { count: 0 }, twice: { count: 0 }, altered: { count: 0 }, dishonest: [] });

      const tag = `chaos-${id.slice(-8)}x0`;
      const named = await platform.entries.countDocuments({ name: { $regex: `^${tag}` } });
      const mails = (await platform.inbox()).filter(({ Subject }) => Subject.startsWith(tag));
      expect(named).toBeGreaterThan(10);
      expect(verdict.delivered).toBe(mails.length);
      // Hits have no name: they are the rest.
      expect(verdict.stored).toBeGreaterThan(named);
      expect(verdict.accepted).toBe(verdict.stored + verdict.delivered + verdict.ambiguous + verdict.failed);
      const markdown = await fetch(`${platform.url("broker")}/v1/chaos/reports/${id}?format=markdown`);
      expect(markdown.headers.get("content-type")).toStartWith("text/markdown");
      expect(await markdown.text()).toContain(`**${verdict.accepted} accepted =`);
      const { data } = await ask<ChaosOverview>("GET", "");
      expect(data.running).toBeNull();
      expect(data.reports[0]).toMatchObject({ id, lost: 0, accepted: verdict.accepted });
    },
    VERDICT_MS + 30_000,
  );

  test(
    "the broker itself is frozen: the experiment goes on by itself, and is found again; a fault can be ended before its time",
    async () => {
      const { data } = await start({ fault: "freeze", part: "broker", seconds: 2 });
      const done = await ended(data.id);
      expect(done.results[0]).toMatchObject({
        outcome: "finished",
        verdict: { lost: { count: 0 }, twice: { count: 0 } },
      });

      const second = await start({ fault: "cut", part: "logger", seconds: 60 });
      await until("it is broken", async () => {
        const { data: now } = await ask<ChaosExperiment>("GET", `/experiments/${second.data.id}`);
        return now.phase === "fault";
      });
      expect((await ask("POST", `/experiments/${second.data.id}/heal`, {})).status).toBe(200);
      const healed = await ended(second.data.id);
      expect(healed.results[0]?.fault_s).toBeLessThan(30);
      expect(healed.results[0]?.verdict).toMatchObject({ lost: { count: 0 }, twice: { count: 0 } });
      expect((await ask("POST", `/experiments/${second.data.id}/heal`, {})).status).toBe(409);
    },
    2 * VERDICT_MS,
  );
});
