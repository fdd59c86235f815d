import { connect } from "amqplib";
import { MongoClient } from "mongodb";
import { createTransport } from "nodemailer";
import postgres from "postgres";
import { withDatabase } from "./addresses.ts";

/**
 * One question each to a server, in its own protocol and with the URL's credentials: an open port proves nothing.
 * They give the server's version, or throw why it can't be used; never later than `ms`.
 */

/** Enough for a local server that is up; a busy one is asked again by whoever waits for it (ms). */
const PROBE_MS = 1_000;
/** SQLSTATE. */
const NO_SUCH_DATABASE = "3D000";

export async function probePostgres(url: string, ms = PROBE_MS): Promise<string> {
  const target = new URL(url).pathname.length > 1 ? url : withDatabase(url, "postgres");
  const sql = postgres(target, { max: 1, connect_timeout: ms / 1000, onnotice: () => {}, fetch_types: false });
  try {
    const rows = await within(ms, sql<{ version: string }[]>`select current_setting('server_version') as version`);
    return rows[0]?.version.split(" ")[0] ?? "";
  } catch (error) {
    // It let us in and only misses the database, which can be made.
    if (error instanceof postgres.PostgresError && error.code === NO_SUCH_DATABASE) return "";
    throw error;
  } finally {
    // The probe has its answer: how the connection ends is no part of it. The same below.
    void sql.end({ timeout: 0 }).catch(() => {});
  }
}

export async function probeMongodb(url: string, ms = PROBE_MS): Promise<string> {
  const client = new MongoClient(url, { serverSelectionTimeoutMS: ms, connectTimeoutMS: ms, maxPoolSize: 1 });
  try {
    const admin = client.db("admin");
    await within(ms, admin.command({ ping: 1 }));
    const info = await within(ms, admin.command({ buildInfo: 1 }));
    return typeof info["version"] === "string" ? info["version"] : "";
  } finally {
    void client.close(true).catch(() => {});
  }
}

export async function probeAmqp(url: string, ms = PROBE_MS): Promise<string> {
  const opening = connect(url, { timeout: ms });
  let late = true;
  const close = async () => {
    const connection = await opening;
    // A server that breaks off while we take leave is no news.
    connection.on("error", () => {});
    if (late) await connection.close();
  };
  try {
    const connection = await within(ms, opening);
    late = false;
    connection.on("error", () => {});
    await within(ms, connection.close());
    return connection.connection.serverProperties.version;
  } finally {
    void close().catch(() => {});
  }
}

export async function probeSmtp(url: string, ms = PROBE_MS): Promise<string> {
  const target = new URL(url);
  target.searchParams.set("connectionTimeout", String(ms));
  target.searchParams.set("greetingTimeout", String(ms));
  target.searchParams.set("socketTimeout", String(ms));
  const asking = createTransport(target.href);
  try {
    await within(ms, asking.verify());
    return "";
  } finally {
    asking.close();
  }
}

/** The promise's outcome, or a failure at the deadline; its own later failure is nobody's surprise. */
export async function within<T>(ms: number, promise: PromiseLike<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`it did not answer within ${ms} ms`)), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    Promise.resolve(promise).then(undefined, () => {});
  }
}

/** Asks again and again until it is content; throws its last refusal at the deadline (ms). */
export async function untilAnswers(ask: () => Promise<unknown>, ms: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + ms;
  for (;;) {
    signal.throwIfAborted();
    try {
      await ask();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await Bun.sleep(250);
  }
}
