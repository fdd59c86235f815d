/** What the tests of sagas share: a database of their own, runners on it, and sagas that leave marks. */
import { test } from "bun:test";
import postgres from "postgres";
import { Secret } from "#shared/config";
import type { Result } from "#shared/errors";
import { makeHealth } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { type Database, makeDatabase } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { type Metrics, makeMetrics, newContext } from "#shared/telemetry";
import {
  defineSaga,
  done,
  runSagas,
  type Saga,
  type Sagas,
  type SagasOptions,
  sagasMigration,
  type StepContext,
  type StepOutcome,
} from "./index.ts";

const SERVER = process.env["TEST_POSTGRES_URL"];
export const HAS_SERVER = SERVER !== undefined;
export const withServer = test.skipIf(!HAS_SERVER);
export const NEEDS = "(needs TEST_POSTGRES_URL)";

export interface Data {
  readonly trail: readonly string[];
}
export type Doing = (data: Data, context: StepContext) => Promise<Result<StepOutcome<Data>>>;
export const leaves =
  (mark: string): Doing =>
  async ({ trail }) =>
    done<Data>({ trail: [...trail, mark] });

let sagaNames = 0;
/** A saga of a name of its own, with steps one, two, three that leave their marks unless told otherwise. */
export function sagaOf(doing: Readonly<Record<string, Doing>> = {}): Saga<Data> {
  sagaNames += 1;
  const step = (mark: string) => ({
    name: mark,
    run: doing[mark] ?? leaves(mark),
    undo: doing[`undo ${mark}`] ?? leaves(`undo ${mark}`),
  });
  return defineSaga<Data>({ name: `saga-${sagaNames}`, steps: [step("one"), step("two"), step("three")] });
}

interface Row {
  state: string;
  step: string | null;
  data: Data;
  reason: string | null;
  error: string | null;
  failures: number;
  interruptions: number;
  claim: string | null;
}

export interface Scene extends AsyncDisposable {
  readonly database: Database;
  /** Outside of it, for looking and for meddling. */
  readonly sql: postgres.Sql;
  /** Runs them until `quiet`. */
  readonly run: (
    sagas: readonly Saga<object>[],
    options?: Partial<SagasOptions>,
  ) => { readonly runner: Sagas; readonly metrics: Metrics };
  /** Ends all runners. */
  readonly quiet: () => Promise<void>;
  readonly begin: (saga: Saga<Data>, runner?: Sagas) => Promise<string>;
  readonly rowOf: (id: string) => Promise<Row>;
  readonly ended: (id: string, state: string) => Promise<Row>;
}

export async function makeScene(): Promise<Scene> {
  if (SERVER === undefined) throw new Error("TEST_POSTGRES_URL is not set");
  const name = `test_saga_${process.pid}_${Bun.randomUUIDv7().replaceAll("-", "")}`;
  const admin = postgres(SERVER, { max: 1, onnotice: () => undefined });
  await admin`create database ${admin(name)}`;
  const url = Object.assign(new URL(SERVER), { pathname: `/${name}` }).href;
  const sql = postgres(url, { max: 2, onnotice: () => undefined });
  const open: AsyncDisposable[] = [];
  const database = makeDatabase({
    url: new Secret(url),
    name: "saga test",
    log: silentLog,
    metrics: makeMetrics("test", "0"),
    dependency: makeHealth(silentLog).dependency("postgres"),
    migrations: [sagasMigration(1)],
    maxConnections: 4,
  });
  const ready = await database.ready(Deadline.after(10_000));
  if (!ready.ok) throw ready.error;

  async function rowOf(id: string): Promise<Row> {
    const [row] = await sql<Row[]>`select * from sagas where id = ${id}`;
    if (row === undefined) throw new Error("no such saga");
    return row;
  }
  async function quiet(): Promise<void> {
    for (const resource of open.splice(0)) await resource[Symbol.asyncDispose]();
  }

  return {
    database,
    sql,
    run(sagas, options = {}) {
      const metrics = makeMetrics("test", "0");
      const runner = runSagas({ database, sagas, log: silentLog, metrics, ...options });
      open.push(runner);
      return { runner, metrics };
    },
    quiet,
    async begin(saga, runner) {
      const id = Bun.randomUUIDv7();
      const begun = await database.transaction((tx) => saga.start(tx, id, { trail: [] }, newContext()), {
        deadline: Deadline.after(5_000),
        retry: false,
      });
      if (!begun.ok) throw begun.error;
      runner?.wake();
      return id;
    },
    rowOf,
    ended: (id, state) =>
      until(async () => {
        const row = await rowOf(id);
        return row.state === state ? row : undefined;
      }),
    async [Symbol.asyncDispose]() {
      await quiet();
      await database[Symbol.asyncDispose]();
      await sql.end();
      await admin`drop database if exists ${admin(name)} with (force)`;
      await admin.end();
    },
  };
}

/** Looks every 10 ms until `look` gives something that is not undefined or false. */
export async function until<T>(
  look: () => Promise<T | undefined | false> | T | undefined | false,
  ms = 10_000,
): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`not within ${ms} ms`);
    await Bun.sleep(10);
  }
}
