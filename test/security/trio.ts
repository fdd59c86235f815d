/**
 * Auth on a real PostgreSQL and three brokers that hear of it over a real RabbitMQ, in this process: for what has to hold
 * at every broker. What they do not need is not there.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "amqplib";
import { loadConfig } from "#shared/config";
import { makeRuntime, type Runtime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { startAuth, type TestAuth, until } from "../../auth/service.test-kit.ts";
import { start as startBroker, type Broker } from "../../broker/app.ts";
import { fields as brokerFields } from "../../broker/config.ts";

export const RABBITMQ = process.env["TEST_RABBITMQ_URL"];
export const HAS_SERVERS = RABBITMQ !== undefined && process.env["TEST_POSTGRES_URL"] !== undefined;
export const NEEDS = "(needs TEST_POSTGRES_URL and TEST_RABBITMQ_URL)";
/** Nothing listens there. */
const NOWHERE = "127.0.0.1:9";
const PASSWORD = "a password that is long";
/** Of a login that is not answered in time. */
const LOGIN_TRIES = 3;
/** Users of others' databases have small ids, and what is revoked of them is told over the same RabbitMQ. */
const FIRST_ID_MAX = 900_000_000;

export interface Said {
  readonly status: number;
  readonly data: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export interface Login {
  readonly id: number;
  readonly email: string;
  readonly session_id: string;
  readonly access_token: string;
  readonly refresh_token: string;
}

export interface Trio extends AsyncDisposable {
  readonly auth: TestAuth;
  readonly brokers: readonly Broker[];
  readonly ask: (
    broker: number,
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ) => Promise<Said>;
  /** Somebody new. @returns his address. */
  readonly register: () => Promise<string>;
  readonly login: (email: string, broker?: number) => Promise<Login>;
  readonly password: string;
  /** Whether a broker takes a member's token, by its own knowledge and without further work: 401 is no, 403 is yes, but not for this. */
  readonly takes: (broker: number, token: string) => Promise<boolean>;
}

/** What this machine takes for the way of a revocation without any of ours: commit, message, answer (ms). */
export interface Usual {
  /** @returns at p99, over all rounds until now. */
  stop(): Promise<number>;
}

export async function watchUsual(trio: Pick<Trio, "auth" | "brokers">): Promise<Usual> {
  const model = await connect(RABBITMQ ?? "");
  const channel = await model.createChannel();
  const { queue } = await channel.assertQueue("", { exclusive: true });
  let heard: (() => void) | undefined;
  await channel.consume(queue, () => heard?.(), { noAck: true });
  await trio.auth.sql`create table if not exists usual (at timestamptz)`;
  const times: number[] = [];
  const ending = new AbortController();
  const rounds = (async () => {
    while (!ending.signal.aborted) {
      const startedAt = performance.now();
      await trio.auth.sql`insert into usual values (now())`;
      await new Promise<void>((resolve) => {
        heard = resolve;
        channel.sendToQueue(queue, Buffer.from("{}"));
      });
      await Promise.all(trio.brokers.map(async ({ url }) => (await fetch(`${url}/ping`)).text()));
      times.push(performance.now() - startedAt);
      await Bun.sleep(20);
    }
  })();
  return {
    async stop() {
      ending.abort();
      await rounds;
      await model.close();
      times.sort((a, b) => a - b);
      return times[Math.floor(times.length * 0.99)] ?? 0;
    },
  };
}

export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

export async function startTrio(env: Record<string, string> = {}): Promise<Trio> {
  await using stack = new AsyncDisposableStack();
  const auth = stack.use(await startAuth({ RABBITMQ_URL: RABBITMQ, ...env }));
  const first = 1_000 + Math.floor(Math.random() * FIRST_ID_MAX);
  await auth.sql.unsafe(`alter sequence users_id_seq restart with ${first}`);
  const dir = await mkdtemp(join(tmpdir(), "trio-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));

  // What is bound to the exchange of events fills up with those of every test, for as long as it is there.
  const queue = `trio-${Bun.randomUUIDv7()}`;
  stack.defer(async () => {
    const model = await connect(RABBITMQ ?? "");
    await (await model.createChannel()).deleteQueue(queue);
    await model.close();
  });

  const begin = async (index: number): Promise<Broker> => {
    const config = loadConfig("broker", brokerFields, {
      PORT: "0",
      AUTH_URL: auth.app.url,
      MAIL_URL: `http://${NOWHERE}`,
      LISTENER_URL: `http://${NOWHERE}`,
      LOGGER_URL: `http://${NOWHERE}`,
      LOGGER_RPC_URL: `tcp://${NOWHERE}`,
      RABBITMQ_URL: RABBITMQ,
      LISTENER_QUEUE: queue,
      SPOOL_DIR: join(dir, String(index)),
    });
    const runtime = makeRuntime("broker", silentLog, () => undefined);
    const broker = stack.use(await startBroker(config, runtime));
    await until("the broker hears", () => hears(runtime));
    return broker;
  };
  const brokers = await Promise.all([0, 1, 2].map(begin));
  const urlOf = (broker: number): string => brokers[broker]?.url ?? "";

  const ask: Trio["ask"] = async (broker, method, path, body, headers = {}) => {
    const answer = await fetch(`${urlOf(broker)}${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(15_000),
    });
    const said = (await answer.json()) as { message: string; data?: Record<string, unknown> };
    return { status: answer.status, message: said.message, data: said.data ?? {} };
  };
  const opened = stack.move();
  return {
    auth,
    brokers,
    ask,
    password: PASSWORD,
    async register() {
      const email = `${Bun.randomUUIDv7()}@example.com`;
      const made = await ask(0, "POST", "/v1/users", { email, password: PASSWORD });
      if (made.status !== 201) throw new Error(`not registered: ${made.status} ${made.message}`);
      return email;
    },
    async login(email, broker = 0) {
      const tryIt = () => ask(broker, "POST", "/v1/sessions", { email, password: PASSWORD });
      let said = await tryIt();
      // A hash takes its time on a busy machine.
      for (let tries = 1; said.status === 504 && tries < LOGIN_TRIES; tries += 1) said = await tryIt();
      if (said.status !== 201 && said.status !== 202 && said.status !== 200) {
        throw new Error(`not logged in: ${said.status} ${said.message}`);
      }
      return said.data as unknown as Login;
    },
    takes: async (broker, token) => (await ask(broker, "GET", "/v1/users", undefined, bearer(token))).status !== 401,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function hears({ health }: Runtime): boolean {
  const wanted = new Set(["auth_keys", "revocations", "rabbitmq"]);
  const up = health.report().dependencies.filter(({ name, state }) => wanted.has(name) && state === "up");
  return up.length === wanted.size;
}
