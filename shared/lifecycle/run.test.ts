/** A service's process from the outside: what it prints, when it ends, and with which exit code. */
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";

const FIXTURE = join(import.meta.dir, "service.fixture.ts");
const children: Bun.Subprocess[] = [];
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
});

/** Starts the service. `said` resolves with the first line of its log with that message. */
function start(args: readonly string[], env: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, FIXTURE, ...args], { env, stdout: "pipe", stderr: "pipe" });
  children.push(child);
  const lines: Record<string, unknown>[] = [];
  const waiting = new Map<string, (line: Record<string, unknown>) => void>();
  const read = async () => {
    let text = "";
    let all = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      all += chunk;
      const parts = (text + chunk).split("\n");
      text = parts.pop() ?? "";
      for (const part of parts.filter((line) => line.startsWith("{"))) {
        const line = JSON.parse(part) as Record<string, unknown>;
        lines.push(line);
        waiting.get(String(line["message"]))?.(line);
      }
    }
    return all;
  };
  const out = read();
  return {
    child,
    said: (message: string) =>
      new Promise<Record<string, unknown>>((resolve) => {
        const line = lines.find((candidate) => candidate["message"] === message);
        if (line === undefined) waiting.set(message, resolve);
        else resolve(line);
      }),
    ended: async () => {
      const [stdout, stderr, code] = await Promise.all([out, child.stderr.text(), child.exited]);
      return { code, stdout, stderr, messages: lines.map((line) => line["message"]) };
    },
  };
}

test.each([
  [["--version"], 0, /^tiny \d+\.\d+\.\d+ \(source\)\n$/, /^$/],
  [["--help"], 0, /BEHAVIOUR .*What it does \(default serve\)/, /^$/],
  [["-h"], 0, /TOKEN, TOKEN_FILE/, /^$/],
  [["--check-config"], 0, /the configuration is right/, /^$/],
  [["--nonsense"], 2, /^$/, /unknown argument --nonsense; see tiny --help/],
  [["--version", "now"], 0, /^tiny /, /^$/],
  [["healthcheck", "now"], 2, /^$/, /unknown argument now/],
])("tiny %p ends with %d", async (args, code, stdout, stderr) => {
  const ended = await start(args).ended();
  expect(ended.code).toBe(code);
  expect(ended.stdout).toMatch(stdout);
  expect(ended.stderr).toMatch(stderr);
});

test.each([
  [{ PORT: "x", LOG_LEVEL: "loud" }, ["PORT must be", "LOG_LEVEL must be"]],
  [{ TINY_PORT: "-1", PORT: "1" }, ["TINY_PORT must be"]],
  [{ BEHAVIOUR: "wrong" }, ["BEHAVIOUR and HOST do not go together"]],
  [{ BEHAVIOUR: "misconfigured" }, ["its port is taken"]],
  [{ TOKEN: "canary", TOKEN_FILE: "/nowhere" }, ["TOKEN is given twice"]],
])("%p: exit code 2, one message that names it, no stack, no secret", async (env, told) => {
  const { code, stderr, stdout } = await start([], env).ended();
  expect(code).toBe(2);
  for (const part of told) expect(stderr).toContain(part);
  expect(`${stdout}${stderr}`).not.toMatch(/\n\s+at |canary/);
});

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s drains: what was accepted is answered, then exit code 0",
  async (signal) => {
    const service = start([], { PORT: "0" });
    const { url } = await service.said("listening");
    const slow = fetch(`${String(url)}/slow`);
    await Bun.sleep(50);
    service.child.kill(signal);
    // npx delivers a signal twice.
    service.child.kill(signal);
    expect(await (await slow).text()).toBe("stopping");
    const { code, messages } = await service.ended();
    expect(code).toBe(0);
    expect(messages).toEqual(["listening", "draining", "drained"]);
  },
);

test.each([
  ["production", "0.0.0.0", 1],
  ["production", "127.0.0.1", 0],
  ["development", "0.0.0.0", 0],
])("%s on %s without a certificate: %d warnings of plain HTTP", async (ENVIRONMENT, HOST, warnings) => {
  const service = start([], { PORT: "0", ENVIRONMENT, HOST });
  await service.said("listening");
  service.child.kill("SIGTERM");
  const { messages } = await service.ended();
  expect(messages.filter((message) => String(message).startsWith("plain HTTP on a network"))).toHaveLength(warnings);
});

test("TLS files that cannot be used: exit code 2, by the names of their variables", async () => {
  const { code, stderr } = await start([], { TLS_CERT_FILE: "/nowhere", TINY_TLS_CA_FILE: "/nowhere" }).ended();
  expect(code).toBe(2);
  for (const name of ["TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE"]) expect(stderr).toContain(name);
});

test("a signal while it starts ends it as soon as it has started", async () => {
  const service = start([], { BEHAVIOUR: "starts slowly" });
  await service.said("starting");
  service.child.kill("SIGTERM");
  expect(await service.ended()).toMatchObject({ code: 0, messages: ["starting", "listening", "draining", "drained"] });
});

test("a service that gives itself up drains and ends with its own code", async () => {
  expect(await start([], { BEHAVIOUR: "stops" }).ended()).toMatchObject({ code: 3 });
});

test.each([
  ["bug", "could not start: this is a bug"],
  ["rejects", "unhandled error: this is a bug"],
])("%s: exit code 1, and the log has the stack", async (behaviour, message) => {
  const service = start([], { BEHAVIOUR: behaviour });
  const line = await service.said(message);
  expect(line).toMatchObject({ level: "error", service: "tiny" });
  expect(String(line["stack"])).toContain("service.fixture.ts");
  expect((await service.ended()).code).toBe(1);
});

test.each(["127.0.0.1", "0.0.0.0", "::1"])(
  "the health check asks a service on %s, and has no other codes than 0 and 1",
  async (HOST) => {
    const service = start([], { HOST, PORT: "0" });
    const { url } = await service.said("listening");
    const PORT = new URL(String(url)).port;
    expect(await start(["healthcheck"], { HOST, PORT }).ended()).toMatchObject({ code: 0, stderr: "" });
    service.child.kill("SIGTERM");
    await service.ended();
    const dead = await start(["healthcheck"], { HOST, PORT }).ended();
    expect(dead.code).toBe(1);
    expect(dead.stderr).toContain("no answer from http://");
    expect((await start(["healthcheck"], { PORT: "x" }).ended()).code).toBe(1);
  },
);
