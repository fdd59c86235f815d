import { expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  commonFields,
  ConfigError,
  corsOriginsOf,
  describeConfig,
  integer,
  loadConfig,
  secret,
  secretUrl,
  url,
} from "#shared/config";

const fields = {
  ...commonFields(8080),
  DATABASE_URL: secretUrl("PostgreSQL", "postgres://postgres@localhost:5432/users", ["postgres", "postgresql"]),
  MONGODB_URL: secretUrl("MongoDB", "mongodb://localhost:27017/logs", ["mongodb", "mongodb+srv"]),
  TOKEN: secret("shared token"),
};

function problemsOf(env: Record<string, string>): string {
  try {
    loadConfig("broker", fields, env);
    return "";
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

test("an empty environment is a laptop: every variable has its default", () => {
  const config = loadConfig("broker", fields, {});
  expect(config).toMatchObject({ PORT: 8080, HOST: "127.0.0.1", ENVIRONMENT: "development" });
  expect(corsOriginsOf(config)).toEqual(["*"]);
});

test("production allows no origin unless told", () => {
  expect(corsOriginsOf(loadConfig("broker", fields, { ENVIRONMENT: "production" }))).toEqual([]);
});

test("a service's own variable is read before the common one", () => {
  expect(loadConfig("broker", fields, { PORT: "1", BROKER_PORT: "2" }).PORT).toBe(2);
  expect(loadConfig("auth", fields, { PORT: "1", BROKER_PORT: "2" }).PORT).toBe(1);
});

test("all bad variables are named in one message, and no secret is in it", () => {
  const message = problemsOf({
    PORT: "80a",
    ENVIRONMENT: "staging",
    CORS_ORIGINS: "evil",
    DATABASE_URL: "mysql://root:canary-1@localhost",
  });
  for (const name of ["PORT", "ENVIRONMENT", "CORS_ORIGINS", "DATABASE_URL"]) expect(message).toContain(name);
  expect(message).not.toContain("canary-1");
});

test.each(["-1", "65536", "1e3", " 80", "0x50", "99999999999999999999"])("PORT=%s is refused", (value) => {
  expect(problemsOf({ PORT: value })).toContain("PORT must be a whole number");
});

test("a secret is read from a file, is not printed, and may not be given twice", () => {
  const path = join(mkdtempSync(join(tmpdir(), "config-")), "token");
  writeFileSync(path, "canary-2\n");
  const { TOKEN } = loadConfig("broker", fields, { TOKEN_FILE: path });
  expect(TOKEN?.reveal()).toBe("canary-2");
  expect(`${JSON.stringify({ TOKEN })} ${String(TOKEN)} ${Bun.inspect(TOKEN)}`).not.toContain("canary");
  expect(problemsOf({ TOKEN_FILE: path, TOKEN: "x" })).toContain("given twice");
  expect(problemsOf({ TOKEN_FILE: "/nowhere" })).toContain("cannot be read");
});

test("empty counts as absent, for a secret and its file too", () => {
  const path = join(mkdtempSync(join(tmpdir(), "config-")), "token");
  writeFileSync(path, "canary-3");
  expect(loadConfig("broker", fields, { TOKEN: "", TOKEN_FILE: path }).TOKEN?.reveal()).toBe("canary-3");
  expect(loadConfig("broker", fields, { TOKEN: "x", TOKEN_FILE: "" }).TOKEN?.reveal()).toBe("x");
  expect(loadConfig("broker", fields, { BROKER_TOKEN: "", TOKEN: "x" }).TOKEN?.reveal()).toBe("x");
});

test("an address of a protocol that implies no port has to name one", () => {
  const rpc = { RPC_URL: url("RPC", "tcp://localhost:5001", ["tcp", "tls"]) };
  expect(loadConfig("broker", rpc, { RPC_URL: "tls://logger:5001" }).RPC_URL).toBe("tls://logger:5001");
  expect(() => loadConfig("broker", rpc, { RPC_URL: "tcp://logger" })).toThrow("names a port");
});

test("MongoDB's URL may name several hosts", () => {
  const several = "mongodb://user:pw@a:27017,b:27018/logs?replicaSet=rs";
  expect(loadConfig("logger", fields, { MONGODB_URL: several }).MONGODB_URL.reveal()).toBe(several);
  expect(problemsOf({ MONGODB_URL: "http://a,b/logs" })).toContain("MONGODB_URL");
});

test("help names every variable and its default", () => {
  for (const name of Object.keys(fields)) expect(describeConfig(fields)).toContain(name);
});

test("what is wrong together is told with what is wrong by itself, and no variable twice", () => {
  const two = {
    PORT: integer("p", 1, { min: 1, max: 9 }),
    TOKEN: secret("t"),
    LEVEL: integer("l", 5, { min: 1, max: 9 }),
  };
  const together = ({ PORT, TOKEN }: { PORT: number; TOKEN: unknown }): string[] => [
    ...(PORT === 1 ? [] : ["PORT must be 1 here"]),
    ...(TOKEN === undefined ? ["TOKEN is missing here"] : []),
  ];
  const told = (env: Record<string, string>): string => {
    try {
      loadConfig("broker", two, env, together);
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(told({ LEVEL: "x", PORT: "2" })).toMatch(
    /LEVEL must be .*\n {2}PORT must be 1 here\n {2}TOKEN is missing here/,
  );
  expect(told({ PORT: "x", TOKEN_FILE: "/nowhere" }).match(/PORT|TOKEN/g)).toHaveLength(2);
  expect(told({ TOKEN: "x" })).toBe("");
});
