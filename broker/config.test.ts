/** What production asks of the broker's configuration. */
import { expect, test } from "bun:test";
import { loadConfig } from "#shared/config";
import { accessOf, fields, problemsOf, receiptSecretOf } from "./config.ts";

const configOf = (env: Record<string, string>) => loadConfig("broker", fields, env);
const RABBITMQ_URL = "amqp://broker:Xk29vLqT@rabbitmq:5672";
const KEYS = { SERVICE_KEY: "k".repeat(32), LOGGER_RPC_TOKEN: "t".repeat(32) };
const production = (secret?: string) =>
  problemsOf(
    configOf({
      ...KEYS,
      ENVIRONMENT: "production",
      RABBITMQ_URL,
      ACCESS: "closed",
      ...(secret === undefined ? {} : { BROKER_RECEIPT_SECRET: secret }),
    }),
  );

test("production needs a secret for receipts, a long one that is no default; it is never shown", () => {
  expect(production()).toEqual([expect.stringContaining("RECEIPT_SECRET is missing")]);
  expect(production("x".repeat(31))).toEqual([expect.stringContaining("at least 32 characters")]);
  const known = receiptSecretOf(configOf({})).reveal();
  expect(production(known)).toEqual([expect.stringContaining("at least 32 characters")]);
  for (const secret of [known, "x".repeat(31)]) expect(production(secret).join()).not.toContain(secret);
  expect(production("x".repeat(32))).toEqual([]);
});

test("production needs to show who calls, over HTTP and over RPC", () => {
  const env = { ENVIRONMENT: "production", RABBITMQ_URL, RECEIPT_SECRET: "x".repeat(32), ACCESS: "closed" };
  expect(problemsOf(configOf(env))).toEqual([
    expect.stringContaining("SERVICE_KEY is missing"),
    expect.stringContaining("LOGGER_RPC_TOKEN is missing"),
  ]);
  const weak = problemsOf(configOf({ ...env, ...KEYS, LOGGER_RPC_TOKEN: "canary" }));
  expect(weak).toEqual([expect.stringMatching(/^(?!.*canary)LOGGER_RPC_TOKEN must be at least 32/)]);
});

test("production does not start while nobody has said whether it is open; development is", () => {
  const env = { ...KEYS, ENVIRONMENT: "production", RABBITMQ_URL, RECEIPT_SECRET: "x".repeat(32) };
  expect(problemsOf(configOf(env))).toEqual([expect.stringContaining("ACCESS is missing")]);
  for (const ACCESS of ["open", "closed"]) expect(problemsOf(configOf({ ...env, ACCESS }))).toEqual([]);
  expect([{}, { ACCESS: "closed" }].map((given) => accessOf(configOf(given)))).toEqual(["open", "closed"]);
  expect(() => configOf({ ACCESS: "ajar" })).toThrow("ACCESS must be one of open, closed");
});

test("development needs none, and takes one", () => {
  expect(problemsOf(configOf({}))).toEqual([]);
  expect(receiptSecretOf(configOf({ RECEIPT_SECRET: "mine" })).reveal()).toBe("mine");
});

test("production has no credentials that everybody knows, also not those of the defaults", () => {
  const env = { ...KEYS, ENVIRONMENT: "production", RECEIPT_SECRET: "x".repeat(32), ACCESS: "closed" };
  expect(problemsOf(configOf(env))).toEqual([
    expect.stringMatching(/^RABBITMQ_URL has a user and password that everybody knows/),
  ]);
  expect(problemsOf(configOf({ ...env, RABBITMQ_URL }))).toEqual([]);
});

test("with nothing set production says all of it at once", () => {
  const missing = ["RABBITMQ_URL", "SERVICE_KEY", "LOGGER_RPC_TOKEN", "RECEIPT_SECRET", "ACCESS"];
  expect(problemsOf(configOf({ ENVIRONMENT: "production" })).map((line) => line.split(" ")[0] ?? "")).toEqual(missing);
});

test("production can't be broken from its console", () => {
  const env = { ...KEYS, RABBITMQ_URL, ACCESS: "closed", BROKER_RECEIPT_SECRET: "x".repeat(32) };
  const chaos = { CHAOS_URL: "http://127.0.0.1:9", CHAOS_TOKEN: "t" };
  expect(problemsOf(configOf({ ...env, ...chaos }))).toEqual([]);
  for (const [name, value] of Object.entries(chaos)) {
    const problems = problemsOf(configOf({ ...env, ENVIRONMENT: "production", [name]: value }));
    expect(problems).toEqual([expect.stringContaining("CHAOS_URL and CHAOS_TOKEN are for development")]);
  }
});
