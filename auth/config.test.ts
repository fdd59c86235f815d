import { expect, test } from "bun:test";
import { type Environment, loadConfig } from "#shared/config";
import { fields, problemsOf, secretOf } from "./config.ts";

const problems = (env: Environment) => problemsOf(loadConfig("auth", fields, env)).join("\n");
const LONG = "canary-canary-canary-canary-canary";

test("a laptop needs nothing", () => {
  expect(problems({})).toBe("");
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
  expect(problems({ ENVIRONMENT, AUTH_SECRET: LONG, RABBITMQ_URL })).toBe("");
});
