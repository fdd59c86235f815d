/**
 * Three loggers and three instances of auth as real processes, which announce themselves: the broker spreads over them,
 * avoids one that is dead or hangs within 2 s, finds it again within 5 s, and goes on while the registry is away.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { HealthReport } from "#contracts/health";
import { makeAnnounceKey } from "#shared/service-keys";
import { withDatabase } from "../../dev/backing/addresses.ts";
import type { BackingName } from "../../dev/backing/types.ts";
import { freePort } from "../../dev/backing/ports.ts";
import { ROOT } from "../../dev/paths.ts";
import { type Call, repeat, type Sample, startLoad } from "../../dev/chaos/load.ts";
import { seeded } from "../../dev/chaos/random.ts";
import { bringBack } from "../../dev/chaos/scene.ts";
import { ALONE_START_MS, alone, HAS_BACKING, makeLoginCheap, type Platform, startPlatform, until } from "../kit.ts";

const AVOIDED_MS = 2_000;
const BACK_MS = 5_000;
/** Nothing that is well takes so long, on a busy machine too (ms). */
const SLOW_MS = 900;
const BCRYPT_COST = 4;
/** Logins that may be in the hands of an instance when it is killed. */
const IN_FLIGHT = 3;

/** For what has waited in an instance that hung (ms). */
const SETTLED_MS = 500;
/** A process, on a machine that does other things as well (ms). */
const START_WITHIN_MS = 90_000;

const KEYS = { auth: makeAnnounceKey(), logger: makeAnnounceKey() };

interface Instance {
  readonly url: string;
  /** What it has done, by its own count. */
  count(): Promise<number>;
  kill(signal: NodeJS.Signals): void;
  /** Killed (-9), and gone. */
  die(): Promise<void>;
  start(): void;
}

describe.skipIf(!HAS_BACKING)("several instances (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  let held: Disposable;
  let token = "";
  const instances: Record<"auth" | "logger", Instance[]> = { auth: [], logger: [] };
  const ended: (() => Promise<void>)[] = [];

  beforeAll(
    async () => {
      held = await alone();
      const env = {
        DISCOVERY: "rabbitmq",
        SERVICE_ANNOUNCERS: Object.entries(KEYS)
          .map(([name, key]) => `${name}:${key.publicKey}`)
          .join(","),
        BCRYPT_COST: String(BCRYPT_COST),
        AUTH_ANNOUNCE_KEY: KEYS.auth.key,
        LOGGER_ANNOUNCE_KEY: KEYS.logger.key,
      };
      platform = await startPlatform({ env });
      await makeLoginCheap(platform, BCRYPT_COST);
      const backing = (name: BackingName): string => platform.stack.part(name).url;
      const common = { ...env, PATH: process.env["PATH"] ?? "", RABBITMQ_URL: backing("rabbitmq"), LOG_LEVEL: "warn" };
      for (let n = 0; n < 3; n += 1) {
        instances.logger.push(
          await launch("logger", "rpc_server_calls_total", 'method="RPCServer.LogInfo"', {
            ...common,
            MONGODB_URL: withDatabase(backing("mongodb"), "logs"),
            RPC_PORT: String(await freePort()),
          }),
        );
      }
      // With the platform's own there are three.
      instances.auth.push({
        url: platform.url("auth"),
        count: () => metric(platform.url("auth"), "http_request_duration_seconds_count", 'route="/me"'),
        kill: () => undefined,
        die: () => Promise.resolve(),
        start: () => undefined,
      });
      for (let n = 0; n < 2; n += 1) {
        instances.auth.push(
          await launch("auth", "http_request_duration_seconds_count", 'route="/me"', {
            ...common,
            DATABASE_URL: withDatabase(backing("postgres"), "users"),
            MAIL_URL: platform.url("mail"),
          }),
        );
      }
      await untilUp("auth", 3);
      await untilUp("logger", 3);
      const login = await platform.post("broker", "/v1/sessions", {
        email: "admin@example.com",
        password: "verysecret",
      });
      token = (login.body.data as { access_token: string }).access_token;
    },
    ALONE_START_MS + 5 * START_WITHIN_MS,
  );
  afterAll(async () => {
    for (const end of ended) await end();
    await platform[Symbol.asyncDispose]();
    held[Symbol.dispose]();
  }, 60_000);

  async function launch(name: "auth" | "logger", counter: string, label: string, env: Record<string, string>) {
    const port = await freePort();
    const begin = () =>
      Bun.spawn([process.execPath, join(ROOT, name, "main.ts")], {
        cwd: ROOT,
        env: { ...env, PORT: String(port) },
        stdout: "ignore",
        stderr: "ignore",
      });
    let child = begin();
    const die = async (): Promise<void> => {
      child.kill("SIGKILL");
      await child.exited;
    };
    ended.push(die);
    const url = `http://127.0.0.1:${port}`;
    let last = "nothing";
    try {
      await until(
        `${name} ready`,
        async () => {
          const answer = await fetch(`${url}/ready`);
          last = await answer.text();
          return answer.status === 200;
        },
        START_WITHIN_MS,
      );
    } catch (cause) {
      throw new Error(`${name} is not ready (exit code ${child.exitCode}): ${last}`, { cause });
    }
    return {
      url,
      count: () => metric(url, counter, label),
      kill: (signal: NodeJS.Signals) => child.kill(signal),
      die,
      start() {
        child = begin();
      },
    };
  }

  async function metric(url: string, name: string, label: string): Promise<number> {
    const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(2_000) })).text();
    const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) && line.includes(label));
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  async function health(): Promise<HealthReport> {
    return ((await (await fetch(`${platform.url("broker")}/v1/health`)).json()) as { data: HealthReport }).data;
  }

  const untilUp = (service: string, count: number, ms = START_WITHIN_MS): Promise<unknown> =>
    until(
      `${count} of ${service} up`,
      async () => {
        const found = (await health()).services.find(({ name }) => name === service)?.instances ?? [];
        if (found.length === count && found.every(({ state }) => state === "up" || state === "degraded")) return true;
        throw new Error(JSON.stringify(found));
      },
      ms,
    );

  async function asked(what: string, path: string, init: RequestInit): Promise<Omit<Sample, "what" | "ms" | "at">> {
    try {
      const answer = await fetch(`${platform.url("broker")}${path}`, { ...init, signal: AbortSignal.timeout(10_000) });
      const degraded = answer.headers.get("x-degraded");
      await answer.body?.cancel();
      return { status: answer.status, ...(degraded === null ? {} : { degraded }) };
    } catch (error) {
      return { status: 0, said: `${what}: ${String(error)}` };
    }
  }
  const json = { "content-type": "application/json" };
  const posted = (body: unknown): RequestInit => ({ method: "POST", headers: json, body: JSON.stringify(body) });
  const calls = {
    log: {
      what: "log",
      run: () => asked("log", "/handle", posted({ action: "log", log: { name: "replicas", data: "x" } })),
    },
    me: { what: "me", run: () => asked("me", "/v1/me", { headers: { authorization: `Bearer ${token}` } }) },
    login: {
      what: "login",
      run: () =>
        asked(
          "login",
          "/handle",
          posted({ action: "auth", auth: { email: "admin@example.com", password: "verysecret" } }),
        ),
    },
  } as const satisfies Record<string, Call>;
  const load = () =>
    startLoad({
      rate: 120,
      mix: [
        [calls.log, 8],
        [calls.me, 4],
        [calls.login, 0.4],
      ],
      random: seeded(7),
    });
  const isWrong = ({ what, status, degraded }: Sample): boolean =>
    status !== (what === "me" ? 200 : 202) || degraded !== undefined;
  const said = (samples: readonly Sample[]): string[] =>
    samples.map(
      ({ what, status, degraded = "", ms, at }) => `${what} ${status} ${degraded} ${Math.round(ms)} @${Math.round(at)}`,
    );
  const isBack = (instance: Instance, before: number): Promise<number> => {
    const since = performance.now();
    return until("in use again", async () => (await instance.count()) > before, BACK_MS * 2).then(
      () => performance.now() - since,
    );
  };

  test("each of three has a third of the calls", async () => {
    for (const [name, call] of [
      ["logger", calls.log],
      ["auth", calls.me],
    ] as const) {
      const before = await Promise.all(instances[name].map((one) => one.count()));
      // One at a time: with several under way the quicker instance has more of them, which is what it should.
      const samples = await repeat(call, 1_500, 1);
      expect(said(samples.filter(isWrong))).toEqual([]);
      const after = await Promise.all(instances[name].map((one) => one.count()));
      const counts = after.map((count, index) => count - (before[index] ?? 0));
      const total = counts.reduce((sum, count) => sum + count, 0);
      console.log(`spread over ${name}: ${counts.join(" ")}`);
      expect(total).toBeGreaterThanOrEqual(1_500);
      for (const count of counts) expect(Math.abs(count / total - 1 / 3)).toBeLessThan(0.05);
    }
  }, 60_000);

  test("one of each is killed (-9) under load: nothing fails but what cannot be repeated, and it is used again after its return", async () => {
    const [logger, auth] = [instances.logger[1], instances.auth[1]];
    if (logger === undefined || auth === undefined) throw new Error("three of each");
    const running = load();
    await Bun.sleep(2_000);
    const killedAt = running.elapsedMs;
    await Promise.all([logger.die(), auth.die()]);
    await Bun.sleep(4_000);
    const sample = running.samples.filter(({ at }) => at > killedAt - 500);
    const wrong = sample.filter(isWrong);
    expect(said(wrong.filter(({ what }) => what !== "login"))).toEqual([]);
    expect([wrong.length <= IN_FLIGHT, said(wrong)]).toEqual([true, said(wrong)]);
    const last = Math.max(
      0,
      ...sample.filter((one) => isWrong(one) || one.ms > SLOW_MS).map(({ at }) => at - killedAt),
    );
    console.log(
      `killed: ${wrong.length} of ${sample.length} failed, the last that noticed ${Math.round(last)} ms after`,
    );
    expect(last).toBeLessThan(AVOIDED_MS);
    logger.start();
    auth.start();
    for (const one of [logger, auth])
      await until("it listens", async () => (await fetch(`${one.url}/ready`)).status === 200, START_WITHIN_MS);
    const backMs = await Promise.all([isBack(logger, 0), isBack(auth, 0)]);
    console.log(`back in use after ${backMs.map(Math.round).join(" and ")} ms`);
    for (const ms of backMs) expect(ms).toBeLessThan(BACK_MS);
    await running.stop();
  }, 90_000);

  test("one of each hangs (SIGSTOP): avoided within 2 s, used again when it goes on", async () => {
    const [logger, auth] = [instances.logger[2], instances.auth[2]];
    if (logger === undefined || auth === undefined) throw new Error("three of each");
    const running = load();
    await Bun.sleep(1_000);
    const stoppedAt = running.elapsedMs;
    logger.kill("SIGSTOP");
    auth.kill("SIGSTOP");
    await Bun.sleep(8_000);
    const goesOnAt = running.elapsedMs;
    const after = running.samples.filter(({ at }) => at > stoppedAt && at < goesOnAt - 1_000);
    const noticed = after.filter((one) => isWrong(one) || one.ms > SLOW_MS);
    const last = Math.max(0, ...noticed.map(({ at }) => at - stoppedAt));
    const wrong = after.filter(isWrong);
    console.log(
      `hangs: ${noticed.length} of ${after.length} noticed (${wrong.length} failed or degraded), the last ${Math.round(last)} ms after`,
    );
    expect([last < AVOIDED_MS, said(noticed)]).toEqual([true, said(noticed)]);
    logger.kill("SIGCONT");
    auth.kill("SIGCONT");
    // What it was asked while it hung it does first: that is no use of it.
    await Bun.sleep(SETTLED_MS);
    const before = await Promise.all([logger.count(), auth.count()]);
    const backMs = await Promise.all([isBack(logger, before[0]), isBack(auth, before[1])]);
    console.log(`goes on, in use after ${backMs.map(Math.round).join(" and ")} ms`);
    for (const ms of backMs) expect(ms).toBeLessThan(BACK_MS);
    await running.stop();
  }, 60_000);

  test("the registry is away: instances that are known stay, come back by themselves, and a new one is found when it is back", async () => {
    const [logger] = instances.logger;
    if (logger === undefined) throw new Error("three of each");
    const rabbitmq = platform.stack.part("rabbitmq");
    await rabbitmq.stop();
    const state = await until("seen", async () => {
      const { registry } = await health();
      return registry.state === "down" && registry;
    });
    expect(state.announced).toBe(6);
    await logger.die();
    const samples = await repeat(calls.log, 200, 8);
    expect(said(samples.filter(({ status }) => status !== 202))).toEqual([]);
    logger.start();
    await until("it listens", async () => (await fetch(`${logger.url}/ready`)).status !== 0, START_WITHIN_MS);
    const calling = startLoad({ rate: 60, mix: [[calls.log, 1]], random: seeded(8) });
    const againMs = await isBack(logger, 0);
    console.log(`without the registry, back in use after ${Math.round(againMs)} ms`);
    expect(againMs).toBeLessThan(BACK_MS);
    await calling.stop();
    await bringBack(platform, "rabbitmq");
    const since = performance.now();
    await until("registry up, all announced", async () => {
      const { registry } = await health();
      return registry.state === "up" && registry.announced === 6;
    });
    // The one that was started again while it was away is another instance at the same place.
    await untilUp("logger", 3, BACK_MS);
    await untilUp("auth", 3, BACK_MS);
    console.log(`all found ${Math.round(performance.now() - since)} ms after the registry's return`);
    expect(performance.now() - since).toBeLessThan(BACK_MS);
  }, 120_000);
});
