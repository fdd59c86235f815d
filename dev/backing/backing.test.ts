import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import connect from "postgres";
import { type Backing, createDatabase, outsideData, probePostgres, startBacking, stopBacking } from "./index.ts";
import type { StartOptions } from "./types.ts";

/** Real servers: half a minute, more on the very first run (FerretDB is built). `PLATFORM_TEST_BACKING=1` runs it. */
const wanted = process.env["PLATFORM_TEST_BACKING"] !== undefined;
const LIMIT_MS = 300_000;

const directory = mkdtempSync(join(tmpdir(), "backing-"));
// PostgreSQL runs as another user than root.
chmodSync(directory, 0o755);
afterAll(() => {
  for (const name of readdirSync(directory)) {
    for (const path of outsideData(join(directory, name))) rmSync(path, { recursive: true, force: true });
  }
  rmSync(directory, { recursive: true, force: true });
});

function options(name: string): StartOptions {
  return {
    dataDir: join(directory, name),
    ports: "free",
    configured: {},
    onProgress: () => {},
    signal: new AbortController().signal,
  };
}

/** The processes of this machine whose command line or environment names our directory. */
function ours(): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      return ["cmdline", "environ"].some((file) => readFileSync(`/proc/${pid}/${file}`, "utf8").includes(directory));
    } catch {
      return false;
    }
  });
}

async function startAll(name: string): Promise<Backing[]> {
  const all = await startBacking(options(name));
  return all.map((one) => {
    if ("tried" in one) throw new Error(`${one.name}: ${one.tried.join("; ")}`);
    return one;
  });
}

/** What FerretDB asks for equality is answered by an index, also where there is more than one key. */
async function expectLookupsByIndex(mongodb: string, postgres: string): Promise<void> {
  const client = await new MongoClient(mongodb).connect();
  await client.db("looked").collection("up").createIndex({ one: 1, two: -1 });
  await client.close();
  const sql = connect(`${postgres}/ferretdb`, { max: 1 });
  await sql`set enable_seqscan = off`;
  const [{ relation } = { relation: "" }] = await sql<{ relation: string }[]>`
    select format('%I.%I', schemaname, tablename) as relation from pg_indexes where schemaname = 'looked' and indexname like '%one%gin'`;
  const plan = await sql.unsafe(
    `explain select _jsonb from ${relation} where _jsonb->'one' @> '"a"' and _jsonb->'two' @> '"b"'`,
  );
  await sql.end();
  expect(JSON.stringify(plan)).toContain("_gin");
}

test.skipIf(!wanted)(
  "two stacks run side by side, come back with their ports and data, and leave nothing behind",
  async () => {
    const [one, two] = await Promise.all([startAll("one"), startAll("two")]);
    expect(new Set([...one, ...two].map(({ url }) => url)).size).toBe(8);
    const postgres = one.find(({ name }) => name === "postgres")?.url ?? "";
    await Promise.all([createDatabase(postgres, "kept"), createDatabase(postgres, "kept")]);
    const mongodb = one.find(({ name }) => name === "mongodb");
    if (mongodb?.source.startsWith("FerretDB")) await expectLookupsByIndex(mongodb.url, postgres);
    await stopBacking(one);
    await stopBacking(one);

    const again = await startAll("one");
    expect(again.map(({ url }) => url)).toEqual(one.map(({ url }) => url));
    expect(await probePostgres(`${postgres}/kept`)).not.toBe("");
    await Promise.all([stopBacking(again), stopBacking(two)]);
    expect(ours()).toEqual([]);
  },
  LIMIT_MS,
);

test.skipIf(!wanted)(
  "giving up in the middle leaves nothing behind",
  async () => {
    const signal = AbortSignal.timeout(1_500);
    const outcome: unknown = await startBacking({ ...options("given-up"), signal }).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(Error);
    expect(ours()).toEqual([]);
  },
  LIMIT_MS,
);
