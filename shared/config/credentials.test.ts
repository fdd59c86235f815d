/** Credentials that everybody knows. */
import { expect, test } from "bun:test";
import { knownCredentials, Secret } from "#shared/config";

const problems = (url: string, ENVIRONMENT: "development" | "production" = "production") =>
  knownCredentials({ ENVIRONMENT, DATABASE_URL: new Secret(url), PORT: 1, OTHER: url });

test.each([
  "amqp://guest:guest@localhost:5672",
  "amqps://guest:GUEST@rabbitmq.internal/%2f",
  "postgres://postgres:postgres@db/users",
  "postgres://postgres:password@db:5432/users?sslmode=require",
  "postgresql://root:root@db/users",
  "postgres://ann:ann@db/users",
  "postgres://Ann:%61nn@db/users",
  "mongodb://root:example@a:27017,b:27017/logs?replicaSet=rs0",
  "mongodb+srv://admin:secret@cluster/logs",
  "smtp://mailer:changeme@mail:587",
  "redis://:password@redis:6379",
])("refused in production: %s", (url) => {
  const [line, ...more] = problems(url);
  expect(line).toStartWith("DATABASE_URL ");
  expect(more).toEqual([]);
  expect(line).not.toContain(url.split("@")[1] ?? "");
  expect(problems(url, "development")).toEqual([]);
});

test.each([
  "postgres://postgres@db/users",
  "postgres://postgres:@db/users",
  "mongodb://a:27017,b:27017/logs",
  "amqp://platform:n7Qe2xVw0@rabbitmq:5672",
  "postgres://users:p%40ssw0rd%ZZ@db/users",
  "smtp://localhost:1025",
  "guest",
])("allowed: %s", (url) => expect(problems(url)).toEqual([]));
