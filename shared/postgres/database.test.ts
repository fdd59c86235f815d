/** A database that goes away and comes back, on a real PostgreSQL (TEST_POSTGRES_URL), through a proxy that can be cut. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import postgres from "postgres";
import { Secret } from "#shared/config";
import { Failure } from "#shared/errors";
import { makeRuntime } from "#shared/lifecycle";
import { silentLog } from "#shared/log";
import { type Database, makeDatabase, type Migration } from "#shared/postgres";
import { Deadline } from "#shared/resilience";

// Bounds a hang; a busy machine is allowed to be slow.
setDefaultTimeout(30_000);

const SERVER = process.env["TEST_POSTGRES_URL"];
const withServer = test.skipIf(SERVER === undefined);
const NEEDS = "(needs TEST_POSTGRES_URL)";
const serverUrl = new URL(SERVER ?? "postgres://localhost:5432");
const databaseName = `test_postgres_${process.pid}_${Date.now()}`;
const admin = postgres(serverUrl.href, { max: 2, onnotice: () => undefined });
let next = 0;

beforeAll(async () => {
  if (SERVER !== undefined) await admin`create database ${admin(databaseName)}`;
});
afterAll(async () => {
  if (SERVER !== undefined) await admin`drop database if exists ${admin(databaseName)} with (force)`;
  await admin.end();
});

const MIGRATIONS: Migration[] = [
  { version: 1, name: "things", sql: "create table if not exists things (id int primary key)" },
];

/** A database under test, its name in pg_stat_activity, and what became of its dependency. */
function start(
  options: { port?: number; database?: string; migrations?: Migration[]; maxConnections?: number; user?: string } = {},
) {
  const url = new URL(serverUrl.href);
  url.pathname = `/${options.database ?? databaseName}`;
  if (options.port !== undefined) url.host = `127.0.0.1:${options.port}`;
  if (options.user !== undefined) url.username = options.user;
  url.password = url.password || "canary-password";
  next += 1;
  const name = `${databaseName}_${next}`;
  const runtime = makeRuntime(name, silentLog, () => undefined);
  const database = makeDatabase({
    url: new Secret(url.href),
    name,
    log: silentLog,
    metrics: runtime.metrics,
    dependency: runtime.health.dependency("postgres"),
    migrations: options.migrations ?? MIGRATIONS,
    ...(options.maxConnections === undefined ? {} : { maxConnections: options.maxConnections }),
  });
  const report = () => runtime.health.report().dependencies[0];
  return { database, name, report, metrics: runtime.metrics };
}

async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 8_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await Bun.sleep(20);
  }
}

const readOne = (database: Database, ms = 5_000) =>
  database.query(async (sql) => (await sql<{ one: number }[]>`select 1 as one`)[0]?.one, {
    deadline: Deadline.after(ms),
    retry: true,
  });

/** A TCP proxy in front of the server: `pass`, `close` (accepts and closes at once), or `hold` (accepts, says nothing). */
function makeProxy() {
  let mode: "pass" | "close" | "hold" = "pass";
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server: Server = createServer((client) => {
    accepted += 1;
    client.on("error", () => undefined);
    sockets.add(client);
    if (mode === "close") client.end();
    if (mode !== "pass") return;
    const upstream = connect({ host: serverUrl.hostname, port: Number(serverUrl.port || 5_432) });
    sockets.add(upstream);
    upstream.on("error", () => client.destroy());
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
    client.on("data", (chunk) => mode !== "hold" && upstream.write(chunk));
    upstream.on("data", (chunk) => mode !== "hold" && client.write(chunk));
  });
  const cut = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  return {
    listen: (port = 0) =>
      new Promise<number>((resolve) => {
        server.listen(port, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
      }),
    set(to: typeof mode) {
      mode = to;
    },
    cut,
    get accepted() {
      return accepted;
    },
    close: () =>
      new Promise<void>((resolve) => {
        cut();
        server.close(() => resolve());
      }),
  };
}

withServer("lists of texts and of ids are parameters, whatever is in them", async () => {
  const { database } = start();
  expect((await database.ready(Deadline.after(10_000))).ok).toBe(true);
  const texts = ["a", "", 'quote " and \\ back', "{x,y}", "NULL", "é😀"];
  const ids = [Bun.randomUUIDv7(), Bun.randomUUIDv7()];
  const read = await database.query(
    async (sql) => {
      const [row] = await sql<{ texts: string[]; ids: string[]; none: number }[]>`
        select to_jsonb(${texts}::text[]) as texts, to_jsonb(${ids}::uuid[]) as ids, cardinality(${[]}::text[]) as none`;
      return row;
    },
    { deadline: Deadline.after(10_000), retry: true },
  );
  expect(read).toEqual({ ok: true, value: { texts, ids, none: 0 } });
  await database[Symbol.asyncDispose]();
});

withServer("a connection that is closed as soon as it is open leaves nobody's rejection behind", async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on("unhandledRejection", note);
  // Silent from the first query on: whatever is asked then is never answered.
  const asked = Promise.withResolvers<void>();
  const front = createServer((client) => {
    const server = connect({ host: serverUrl.hostname, port: Number(serverUrl.port || 5_432) });
    let ready = false;
    server.on("data", (bytes: Buffer) => {
      client.write(bytes);
      // ReadyForQuery: "Z", its length, "I".
      ready ||= bytes.includes(Buffer.from([0x5a, 0, 0, 0, 5, 0x49]));
    });
    client.on("data", (bytes) => (ready ? asked.resolve() : server.write(bytes)));
    for (const socket of [client, server]) socket.on("error", () => undefined);
    client.on("close", () => server.destroy());
  });
  try {
    await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
    const { database } = start({ port: (front.address() as { port: number }).port });
    await asked.promise;
    await database[Symbol.asyncDispose]();
    // Rejections are told at the end of a turn.
    await Bun.sleep(0);
    expect(unhandled).toEqual([]);
  } finally {
    process.off("unhandledRejection", note);
    front.close();
  }
});

withServer("a connection that is cut within a transaction ends the transaction, and nothing else", async () => {
  const proxy = makeProxy();
  const { database } = start({ port: await proxy.listen() });
  const ready = await database.ready(Deadline.after(10_000));
  if (!ready.ok) throw ready.error;
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on("uncaughtException", note);
  // Between two statements, under one, and after the last; what the work makes of it is its own.
  for (const wait of ["idle", "running", "last"] as const) {
    let steps = 0;
    const done = await database.transaction(
      async (sql) => {
        await sql`select 1`;
        steps += 1;
        if (wait === "running") setTimeout(proxy.cut, 20);
        else proxy.cut();
        if (wait === "running") await sql`select pg_sleep(1)`.catch(() => undefined);
        else await Bun.sleep(50);
        if (wait !== "last") await sql`select 2`;
        steps += 1;
      },
      { deadline: Deadline.after(5_000), retry: false },
    );
    // At once, whatever the work goes on to do.
    expect([wait, done.ok ? "done" : done.error.code, steps]).toEqual([wait, "unavailable", 1]);
    if (wait === "last") await until("the end of the work", () => steps === 2);
    await until("there again", async () => (await readOne(database)).ok);
  }
  await database[Symbol.asyncDispose]();
  process.off("uncaughtException", note);
  expect(unhandled).toEqual([]);
  await proxy.close();
});

withServer(`reads, writes and rolls back ${NEEDS}`, async () => {
  const { database } = start();
  await using _ = database;
  expect(await database.ready(Deadline.after(5_000))).toEqual({ ok: true, value: undefined });
  expect(await readOne(database)).toEqual({ ok: true, value: 1 });
  const options = { deadline: Deadline.after(5_000), retry: false };
  const insert = (id: number) => database.query((sql) => sql`insert into things values (${id})`, options);
  expect((await insert(1)).ok).toBe(true);
  expect(await insert(1)).toMatchObject({ ok: false, error: { code: "conflict" } });
  const left = await database.transaction(async (sql) => {
    await sql`insert into things values (2)`;
    throw new Failure("forbidden", "no");
  }, options);
  expect(left).toMatchObject({ ok: false, error: { code: "forbidden", message: "no" } });
  expect(await database.query(async (sql) => (await sql`select id from things`).length, options)).toMatchObject({
    value: 1,
  });
});

withServer(`tells a value that does not fit, a slow statement and a bug apart ${NEEDS}`, async () => {
  const { database } = start();
  await using _ = database;
  await database.ready(Deadline.after(5_000));
  const code = async (text: string, ms = 5_000) => {
    const result = await database.query((sql) => sql.unsafe(text), { deadline: Deadline.after(ms), retry: false });
    return result.ok ? "ok" : result.error.code;
  };
  expect(await code("select 'x'::int")).toBe("invalid");
  expect(await code("select * from nowhere")).toBe("internal");
  expect(await code("select pg_sleep(10)", 200)).toBe("deadline");
  expect(await code("select pg_sleep(10)")).toBe("deadline");
  expect(await code("select 1")).toBe("ok");
});

withServer(`every connection terminated: no work fails ${NEEDS}`, async () => {
  const { database, name } = start();
  await using _ = database;
  await database.ready(Deadline.after(5_000));
  for (let round = 0; round < 5; round += 1) {
    await Promise.all(Array.from({ length: 8 }, () => readOne(database)));
    await admin`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${name}`;
    const reads = await Promise.all(Array.from({ length: 8 }, () => readOne(database)));
    expect(reads.filter((result) => !result.ok)).toEqual([]);
    await admin`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${name}`;
    const written = await database.transaction((sql) => sql`select 1`, {
      deadline: Deadline.after(5_000),
      retry: false,
    });
    expect(written.ok).toBe(true);
    expect(database.up).toBe(true);
  }
});

withServer(`connections that end again and again under some work: three more tries, and an end ${NEEDS}`, async () => {
  const { database } = start();
  await using _ = database;
  await database.ready(Deadline.after(5_000));
  for (const [losses, outcome] of [
    [3, "done"],
    [4, "unavailable"],
  ] as const) {
    let tries = 0;
    const worked = await database.query(
      async (sql) => {
        tries += 1;
        if (tries <= losses) await sql`select pg_terminate_backend(pg_backend_pid())`;
        return "done";
      },
      { deadline: Deadline.after(10_000), retry: true },
    );
    expect([tries, worked.ok ? worked.value : worked.error.code]).toEqual([4, outcome]);
  }
});

withServer(
  `started before the server: says so, and is up within 5 s of its coming ${NEEDS}`,
  async () => {
    const proxy = makeProxy();
    const port = await proxy.listen();
    await proxy.close();
    const { database, report } = start({ port });
    await using _ = database;
    await until("reported as down", () => report()?.state === "down");
    expect(report()?.last_error).toContain(`no answer from PostgreSQL at 127.0.0.1:${port}`);
    const startedAt = performance.now();
    expect(await readOne(database)).toMatchObject({ ok: false, error: { code: "unavailable", retryAfterS: 2 } });
    expect(performance.now() - startedAt).toBeLessThan(50);
    const late = makeProxy();
    await late.listen(port);
    await until("up", () => report()?.state === "up", 5_000);
    expect(await readOne(database)).toEqual({ ok: true, value: 1 });
    await late.close();
  },
  15_000,
);

withServer(
  `away later: fails at once, is up again within 5 s of the return ${NEEDS}`,
  async () => {
    const proxy = makeProxy();
    const port = await proxy.listen();
    const { database, report } = start({ port });
    await using _ = database;
    await database.ready(Deadline.after(5_000));
    expect((await readOne(database)).ok).toBe(true);
    await proxy.close();
    expect(await readOne(database)).toMatchObject({ ok: false, error: { code: "unavailable" } });
    await until("down", () => report()?.state === "down", 5_000);
    const back = makeProxy();
    await back.listen(port);
    await until("up", () => report()?.state === "up", 5_000);
    expect(await readOne(database)).toEqual({ ok: true, value: 1 });
    await back.close();
  },
  20_000,
);

withServer(
  `a server that hangs is noticed, and left behind when it answers again ${NEEDS}`,
  async () => {
    const proxy = makeProxy();
    const { database, report } = start({ port: await proxy.listen() });
    await using _ = database;
    await database.ready(Deadline.after(5_000));
    proxy.set("hold");
    expect(await readOne(database, 300)).toMatchObject({ ok: false, error: { code: "deadline" } });
    await until("down", () => report()?.state === "down", 8_000);
    expect(report()?.last_error).toContain("does not answer in time");
    proxy.set("pass");
    await until("up", () => report()?.state === "up", 8_000);
    expect(await readOne(database)).toEqual({ ok: true, value: 1 });
    await proxy.close();
  },
  25_000,
);

withServer(
  `a proxy that accepts and closes is not dialled in a tight loop ${NEEDS}`,
  async () => {
    const proxy = makeProxy();
    proxy.set("close");
    const { database, report } = start({ port: await proxy.listen() });
    await using _ = database;
    await until("down", () => report()?.state === "down");
    expect(proxy.accepted).toBeLessThan(30);
    proxy.set("pass");
    await until("up", () => report()?.state === "up");
    await proxy.close();
  },
  20_000,
);

withServer(`never more connections than allowed; what waits too long is told so ${NEEDS}`, async () => {
  const { database, name, metrics } = start({ maxConnections: 4 });
  await using _ = database;
  await database.ready(Deadline.after(5_000));
  const sleepers = Array.from({ length: 6 }, () =>
    database.query((sql) => sql`select pg_sleep(0.5)`, { deadline: Deadline.after(5_000), retry: false }),
  );
  expect(await readOne(database, 100)).toMatchObject({ ok: false, error: { code: "deadline" } });
  const [row] = await admin<
    { count: number }[]
  >`select count(*)::int from pg_stat_activity where application_name = ${name}`;
  expect(row?.count).toBeLessThanOrEqual(4);
  expect(await metrics.text()).toMatch(/postgres_connections\{[^}]*\} [1-4]\n/);
  expect((await Promise.all(sleepers)).every((result) => result.ok)).toBe(true);
  expect(await readOne(database)).toEqual({ ok: true, value: 1 });
});

withServer(`a missing database and an unknown user are named, the password never ${NEEDS}`, async () => {
  const missing = start({ database: "no_such_database" });
  const stranger = start({ user: "no_such_user" });
  await until("down", () => missing.report()?.state === "down" && stranger.report()?.state === "down");
  expect(missing.report()?.last_error).toContain('has no database "no_such_database": create it (createdb -h');
  expect(stranger.report()?.last_error).toContain('user "no_such_user"');
  expect(JSON.stringify([missing.report(), stranger.report()])).not.toContain("canary-password");
  await Promise.all([missing.database[Symbol.asyncDispose](), stranger.database[Symbol.asyncDispose]()]);
});

withServer(`closing waits for the work in hand, twice is once, and leaves no connection ${NEEDS}`, async () => {
  const { database, name } = start();
  await database.ready(Deadline.after(5_000));
  const slow = database.query((sql) => sql`select pg_sleep(0.3)`, { deadline: Deadline.after(5_000), retry: false });
  await Promise.all([database[Symbol.asyncDispose](), database[Symbol.asyncDispose]()]);
  expect((await slow).ok).toBe(true);
  expect(await readOne(database)).toMatchObject({ ok: false, error: { code: "unavailable" } });
  await until(
    "no connection",
    async () => (await admin`select 1 from pg_stat_activity where application_name = ${name}`).length === 0,
  );
});

withServer(`closing while another replica migrates does not wait for it ${NEEDS}`, async () => {
  const url = new URL(serverUrl.href);
  url.pathname = `/${databaseName}`;
  const other = postgres(url.href, { max: 1 });
  await other`select pg_advisory_lock(${0x6d696772})`;
  const { database, name } = start();
  const waits = () => admin`
    select 1 from pg_stat_activity where application_name = ${name} and wait_event_type = 'Lock'`;
  await until("waiting for the lock", async () => (await waits()).length === 1);
  const startedAt = performance.now();
  await database[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(3_000);
  expect(database.up).toBe(false);
  await other.end();
});

test("closing while there is nothing to connect to is quick", async () => {
  const { database } = start({ port: 1 });
  const startedAt = performance.now();
  await database[Symbol.asyncDispose]();
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});
