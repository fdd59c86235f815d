/** Events that no queue wants are kept: on a RabbitMQ with its management API, by the policy that the listener sets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "amqplib";
import type { Backing, Missing } from "../../dev/backing/index.ts";
import { startRabbitmq } from "../../dev/backing/rabbitmq.ts";
import { findInstallation } from "../../dev/backing/rabbitmq-install.ts";
import { start } from "../../listener/app.ts";
import { fields } from "../../listener/config.ts";
import { ensurePolicy, keepUnrouted } from "../../listener/unrouted.ts";
import { topologyOf } from "#shared/amqp";
import { loadConfig, Secret } from "#shared/config";
import { makeRuntime } from "#shared/lifecycle";
import { type Log, silentLog } from "#shared/log";
import { until } from "../kit.ts";

function hasManagement(): boolean {
  try {
    return findInstallation().management;
  } catch {
    return false; // RabbitMQ is not installed here.
  }
}

const isWanted = process.env["TEST_RABBITMQ_URL"] !== undefined && hasManagement();

describe.skipIf(!isWanted)(
  "the policy of the alternate exchange (needs rabbitmq-server with its management plugin)",
  () => {
    let dataDir: string;
    let node: Backing;
    let web: string;
    const management = (user = "guest", password = "guest"): Secret => {
      const url = new URL(web);
      url.username = user;
      url.password = password;
      return new Secret(url.href);
    };
    const api = async (method: string, path: string, body?: unknown): Promise<unknown> => {
      const answer = await fetch(`${web}/api${path}`, {
        method,
        headers: { authorization: `Basic ${btoa("guest:guest")}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
      const text = await answer.text();
      return text === "" ? undefined : JSON.parse(text);
    };
    const lines: string[] = [];
    const log: Log = { ...silentLog, warn: (line) => lines.push(line), info: (line) => lines.push(line) };
    const optionsOf = (prefix: string, managementUrl = management()) => ({
      managementUrl,
      rabbitmqUrl: new Secret(node.url),
      topology: topologyOf({ prefix }),
      prefix,
      log,
    });
    const once = (prefix: string, managementUrl?: Secret) =>
      ensurePolicy(optionsOf(prefix, managementUrl), new AbortController().signal);

    beforeAll(async () => {
      dataDir = await mkdtemp(join(tmpdir(), "unrouted-"));
      const started: Backing | Missing = await startRabbitmq({
        dataDir,
        ports: "free",
        configured: {},
        onProgress: () => undefined,
        signal: new AbortController().signal,
        management: true,
      });
      if ("tried" in started) {
        await rm(dataDir, { recursive: true, force: true });
        throw new Error(started.tried.join("\n"));
      }
      node = started;
      web = started.web ?? "";
    }, 120_000);
    afterAll(async () => {
      await node.stop();
      await rm(dataDir, { recursive: true, force: true });
    }, 30_000);

    test("is set once, for this exchange and no other, and found again", async () => {
      expect(await once("a.")).toEqual({ ok: true, value: "set" });
      expect(await once("a.")).toEqual({ ok: true, value: "there" });
      expect(await api("GET", "/policies/%2F/a.platform-unrouted")).toMatchObject({
        pattern: String.raw`^a\.logs_topic$`,
        "apply-to": "exchanges",
        definition: { "alternate-exchange": "a.logs.unrouted" },
      });
      // Somebody changed it.
      await api("PUT", "/policies/%2F/a.platform-unrouted", {
        pattern: "^nothing$",
        "apply-to": "exchanges",
        definition: { "alternate-exchange": "a.logs.unrouted" },
      });
      expect(await once("a.")).toEqual({ ok: true, value: "set" });
    });

    test("is left out, and that said, where another policy is in force for the exchange", async () => {
      await api("PUT", "/policies/%2F/theirs", {
        pattern: "^b\\.",
        "apply-to": "all",
        definition: { "max-length": 1_000_000 },
      });
      lines.length = 0;
      expect(await once("b.")).toEqual({ ok: true, value: "other" });
      expect(lines.join()).toContain("another policy is in force for b.logs_topic");
      expect(JSON.stringify(await api("GET", "/policies/%2F"))).not.toContain("b.platform-unrouted");
    });

    test("is given up with one line where the user may not set it, or is nobody", async () => {
      await api("PUT", "/users/reader", { password: "x", tags: "monitoring" });
      await api("PUT", "/permissions/%2F/reader", { configure: ".*", write: ".*", read: ".*" });
      for (const url of [management("reader", "x"), management("nobody", "x")]) {
        lines.length = 0;
        expect(await once("c.", url)).toEqual({ ok: true, value: "forbidden" });
        expect(lines).toHaveLength(1);
        expect(lines[0]).toContain("may not set policies");
      }
    });

    test("is tried again while management is away", async () => {
      const ending = new AbortController();
      lines.length = 0;
      let waits = 0;
      const kept = keepUnrouted(
        { ...optionsOf("d.", new Secret("http://a:b@127.0.0.1:1")), backoff: () => ((waits += 1), 10) },
        ending.signal,
      );
      await until("three tries", () => waits >= 3);
      ending.abort();
      await kept;
      expect(lines).toHaveLength(1);
    });

    test("a listener that was told of it keeps an event under a key that nobody wants", async () => {
      const prefix = "e.";
      const config = loadConfig("listener", fields, {
        PORT: "0",
        LOG_LEVEL: "silent",
        RABBITMQ_URL: node.url,
        RABBITMQ_MANAGEMENT_URL: management().reveal(),
        LOGGER_RPC_URL: "tcp://127.0.0.1:1",
      });
      const runtime = makeRuntime("listener", silentLog, () => undefined);
      await using _app = await start(config, runtime, { prefix });
      const model = await connect(node.url);
      try {
        const { logs, unrouted } = topologyOf({ prefix });
        await until("the policy is in force", async () =>
          JSON.stringify(await api("GET", `/exchanges/%2F/${logs.exchange}`)).includes(`${prefix}platform-unrouted`),
        );
        await until("everything is declared", () =>
          runtime.health.report().dependencies.some(({ name, state }) => name === "rabbitmq" && state === "up"),
        );
        const channel = await model.createConfirmChannel();
        let returned = 0;
        channel.on("return", () => (returned += 1));
        channel.publish(logs.exchange, "log.DEBUG", Buffer.from("{}"), { mandatory: true, messageId: "kept" });
        await channel.waitForConfirms();
        const letter = await until("it is kept", () => channel.get(unrouted.queue, { noAck: true }));
        expect(letter.properties.messageId).toBe("kept");
        expect(letter.fields.routingKey).toBe("log.DEBUG");
        expect(returned).toBe(0);
      } finally {
        await model.close();
        runtime.metrics[Symbol.dispose]();
      }
    }, 60_000);
  },
);
