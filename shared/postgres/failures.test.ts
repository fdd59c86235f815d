/** Codes of PostgreSQL and its driver, as failures. */
import { expect, test } from "bun:test";
import { Failure, messageOf } from "#shared/errors";
import { explained, failureOfWork, isConnectionLoss } from "./failures.ts";

const coded = (code: string) => Object.assign(new Error(`driver says ${code}`), { code });
const target = { host: "db", port: 5_432, user: "app", database: "users" };

test.each([
  ["CONNECTION_CLOSED", "unavailable", true],
  ["CONNECT_TIMEOUT", "unavailable", true],
  ["ECONNREFUSED", "unavailable", true],
  ["57P01", "unavailable", true],
  ["57P03", "unavailable", true],
  ["08006", "unavailable", true],
  ["53300", "unavailable", false],
  ["25006", "unavailable", false],
  ["28P01", "unavailable", false],
  ["40001", "unavailable", false],
  ["57014", "deadline", false],
  ["23505", "conflict", false],
  ["22021", "invalid", false],
  ["42P01", "internal", false],
] as const)("%s is %s", (code, failure, lost) => {
  expect(failureOfWork(coded(code))).toMatchObject({ code: failure });
  expect(isConnectionLoss(coded(code))).toBe(lost);
});

test("a failure of the work's own passes as it is", () => {
  const failure = new Failure("forbidden", "no");
  expect(failureOfWork(failure)).toBe(failure);
});

test.each([
  ["28P01", 'refuses the password of user "app": correct it in DATABASE_URL'],
  ["28000", "pg_hba.conf"],
  ["3D000", "createdb -h db -p 5432 -U app users"],
  ["53300", "max_connections"],
  ["ECONNREFUSED", "no answer from PostgreSQL at db:5432"],
  ["ENOTFOUND", 'the host "db" of DATABASE_URL is not known'],
  ["PROBE_TIMEOUT", "does not answer in time"],
])("%s is told with how to mend it, and in the driver's words", (code, words) => {
  const text = messageOf(explained(coded(code), target));
  expect(text).toContain(words);
  expect(text).toContain(`driver says ${code}`);
});
