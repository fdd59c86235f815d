import { expect, test } from "bun:test";
import { type Environment, loadConfig } from "#shared/config";
import { fields, problemsOf, secretOf } from "./config.ts";

const KEYS = { SERVICE_KEY: "k".repeat(32), SERVICE_CALLERS: `broker:${"0".repeat(64)}` };
const problems = (env: Environment) => problemsOf(loadConfig("auth", fields, { ...KEYS, ...env })).join("\n");
const LONG = "canary-canary-canary-canary-canary";

test("a laptop needs nothing", () => {
  expect(problemsOf(loadConfig("auth", fields, {}))).toEqual([]);
  expect(secretOf(loadConfig("auth", fields, {})).reveal()).not.toBe("");
});

test("production needs a secret that is one, and a cost that is worth the name", () => {
  const ENVIRONMENT = "production";
  const RABBITMQ_URL = "amqp://auth:Xk29vLqT@rabbitmq:5672";
  expect(problems({ ENVIRONMENT })).toContain("AUTH_SECRET is missing");
  expect(problems({ ENVIRONMENT, AUTH_SECRET: "canary" })).toContain("at least 32 characters");
  expect(problems({ ENVIRONMENT, AUTH_SECRET: "canary" })).not.toContain("canary");
  expect(problems({ ENVIRONMENT, AUTH_SECRET: secretOf(loadConfig("auth", fields, {})).reveal() })).not.toBe("");
  expect(problems({ ENVIRONMENT, AUTH_SECRET: LONG, BCRYPT_COST: "9" })).toContain("BCRYPT_COST must be at least 10");
  expect(problems({ ENVIRONMENT, AUTH_SECRET: LONG, RABBITMQ_URL })).toContain("PUBLIC_URL is missing");
  expect(problems({ ENVIRONMENT, AUTH_SECRET: LONG, RABBITMQ_URL, PUBLIC_URL: "https://app.example.com" })).toBe("");
  const keyless = problems({
    ENVIRONMENT,
    AUTH_SECRET: LONG,
    RABBITMQ_URL,
    PUBLIC_URL: "https://app.example.com",
    SERVICE_KEY: "",
    SERVICE_CALLERS: "",
  });
  expect(keyless).toMatch(/^SERVICE_KEY is missing.*\nSERVICE_CALLERS is missing.*$/);
});
