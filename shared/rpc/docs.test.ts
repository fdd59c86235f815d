/** docs/rpc.md shows bytes and a client in another language: both are tried here. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { fail, ok } from "#shared/errors";
import { encodeFrame } from "./encode.ts";
import { startServer } from "./testing.ts";

const docs = join(import.meta.dir, "../../docs");

function hexDump(bytes: Buffer): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    const hex = row.toString("hex").replaceAll(/(..)/g, "$1 ").padEnd(48);
    lines.push(`    ${at.toString(16).padStart(4, "0")}  ${hex} ${row.toString("latin1").replaceAll(/[^ -~]/g, ".")}`);
  }
  return lines.join("\n");
}

test.each<[string, readonly unknown[]]>([
  ["request", [0, 1, "RPCServer.LogInfo", [{ name: "hello", data: { n: 1 } }], { deadline_ms: 5000 }]],
  ["answer", [1, 1, null, "Processing succeeded"]],
  ["error", [1, 2, { code: "not_found", message: "no such method" }, null]],
  ["LogOnce", [0, 3, "RPCServer.LogOnce", [{ name: "hello", data: 1, event_id: "a-1" }]]],
  ["LogOnce's answer", [1, 3, null, "duplicate"]],
  ["Find", [0, 4, "RPCServer.Find", [["a-1", "a-2"]]]],
  [
    "Find's answer",
    [
      1,
      4,
      null,
      [
        {
          event_id: "a-1",
          name: "hello",
          severity: "INFO",
          created_at: "2026-01-02T03:04:05.678Z",
          stored_at: "2026-01-02T03:04:05.690Z",
        },
        null,
      ],
    ],
  ],
])("the page's bytes of a %s are what the code writes", async (_what, message) => {
  expect(await Bun.file(join(docs, "rpc.md")).text()).toContain(hexDump(encodeFrame(message)));
});

const python = Bun.which("python3");

async function runPython(port: number, ...args: string[]): Promise<{ out: string; error: string; code: number }> {
  const command = [python ?? "", join(docs, "examples/rpc_client.py"), "--host", "127.0.0.1", "--port", String(port)];
  const run = Bun.spawn([...command, ...args], { stdout: "pipe", stderr: "pipe", timeout: 10_000 });
  const [out, error, code] = await Promise.all([run.stdout.text(), run.stderr.text(), run.exited]);
  return { out: out.trim(), error: error.trim(), code };
}

test.skipIf(python === null)(
  "the Python client (needs python3) logs, asks what became of it, finds, pings, greets and shows errors",
  async () => {
    const entries: unknown[] = [];
    await using at = startServer({
      token: "s3cret",
      methods: {
        "RPCServer.LogInfo": ([entry]) => {
          entries.push(entry);
          return (entry as { name: string }).name === ""
            ? fail("invalid", "name: too short")
            : ok("Processing succeeded");
        },
        "RPCServer.LogOnce": ([entry]) =>
          ok((entry as { event_id: string }).event_id === "e-1" ? "duplicate" : "stored"),
        "RPCServer.Find": ([ids]) => ok((ids as string[]).map((id) => (id === "e-1" ? { event_id: id } : null))),
      },
    });
    const { port } = at.server;
    const data = { text: "é€😀", list: [1, -1, 300, -70_000, 2 ** 40, 0.5, true, null], long: "x".repeat(70_000) };
    const succeeded = { out: "Processing succeeded", error: "", code: 0 };
    const proof = ["--token", "s3cret"];
    expect(await runPython(port, ...proof, "--event-id", "e-1", "LogInfo", "a name", "some data")).toEqual(succeeded);
    expect(await runPython(port, ...proof, "--severity", "ERROR", "LogInfo", "json", JSON.stringify(data))).toEqual(
      succeeded,
    );
    expect(entries[0]).toEqual({ name: "a name", data: "some data", event_id: "e-1" });
    expect(entries[1]).toMatchObject({ name: "json", data, severity: "ERROR" });
    expect((await runPython(port, ...proof, "--event-id", "e-1", "LogOnce", "a", "1")).out).toBe("duplicate");
    expect((await runPython(port, ...proof, "LogOnce", "a", "1")).out).toBe("stored");
    expect(JSON.parse((await runPython(port, ...proof, "Find", "e-1", "e-2")).out)).toEqual([
      { event_id: "e-1" },
      null,
    ]);
    expect((await runPython(port, ...proof, "Ping")).out).toBe("OK");
    expect(JSON.parse((await runPython(port, ...proof, "Hello")).out)).toMatchObject({
      server: "test",
      version: "1.2.3",
    });
    expect(await runPython(port, ...proof, "LogInfo", "", "x")).toEqual({
      out: "",
      error: "error: invalid: name: too short",
      code: 1,
    });
    expect(await runPython(port, "Ping")).toMatchObject({ error: "error: unauthenticated: wrong token", code: 1 });
  },
  60_000,
);
