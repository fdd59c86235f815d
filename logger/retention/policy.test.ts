import { expect, test } from "bun:test";
import { ConfigError, loadConfig } from "#shared/config";
import { fields, problemsOf } from "../config.ts";
import { expiryOf, makePolicy, readRules } from "./policy.ts";

const DAY = 86_400_000;
const FOREVER = Number.POSITIVE_INFINITY;

test("without rules everything is kept for ever", () => {
  const policy = makePolicy([]);
  expect(policy.keepsAll).toBe(true);
  expect(policy.keepMs("n", "INFO")).toBe(FOREVER);
});

test("of the rules for an entry the most specific one holds, whatever their order", () => {
  const rules = ["*=10d", "INFO=30d", "ERROR=52w", "name:debug*=1d", "name:debug.sql*=2h", "ERROR+name:debug*=7d"];
  for (const order of [rules, rules.toReversed()]) {
    const { keepMs } = makePolicy([...order, "name:debug.sql.slow=forever", "name:a=b=5m"]);
    expect(keepMs("payment", "WARNING")).toBe(10 * DAY);
    expect(keepMs("payment", "INFO")).toBe(30 * DAY);
    expect(keepMs("payment", "ERROR")).toBe(364 * DAY);
    expect(keepMs("debug", "INFO")).toBe(DAY);
    expect(keepMs("debug.http", "ERROR")).toBe(7 * DAY);
    expect(keepMs("debug.sql.fast", "ERROR")).toBe(2 * 3_600_000);
    expect(keepMs("debug.sql.slow", "INFO")).toBe(FOREVER);
    expect(keepMs("a=b", "INFO")).toBe(300_000);
  }
});

test("entries named audit are kept for ever, whatever the rules", () => {
  const { keepMs } = makePolicy(["*=1m", "name:aud*=1m", "INFO+name:audit*=1m"]);
  expect(keepMs("audit", "INFO")).toBe(FOREVER);
  expect(keepMs("audits", "INFO")).toBe(60_000);
  expect(readRules(["name:audit=30d"]).problems.join()).toContain("kept for ever");
  expect(readRules(["name:audit=forever"]).problems).toEqual([]);
});

test.each([
  ["INFO", "a rule is"],
  ["=30d", "a rule is"],
  ["NOTICE=30d", '"NOTICE" is no severity'],
  ["info=30d", "a rule is"],
  ["INFO=30", '"30" is no time'],
  ["INFO=0d", '"0d" is no time'],
  ["INFO=30s", '"30s" is no time'],
  ["INFO=101y", '"101y" is no time'],
  ["INFO=-1d", '"-1d" is no time'],
  ["name:=1d", "a rule is"],
  ["*=Forever", '"Forever" is no time'],
])("the rule %j stops the start with a message that names it", (rule, why) => {
  const load = () => loadConfig("logger", fields, { RETENTION: `ERROR=1y,${rule}` }, problemsOf);
  expect(load).toThrow(ConfigError);
  expect(load).toThrow(`RETENTION has a rule that cannot be used, "${rule}": `);
  expect(load).toThrow(why);
});

test("two rules for the same entries are a mistake, and so are too many", () => {
  expect(readRules(["INFO=1d", "INFO=2d"]).problems).toEqual([
    'has two rules for the same entries, "INFO=1d" and "INFO=2d"',
  ]);
  expect(readRules(Array.from({ length: 101 }, (_, at) => `name:n${at}=1d`)).problems).toHaveLength(1);
});

test("rules that mean the same have one fingerprint", () => {
  const of = (...rules: string[]) => makePolicy(rules).fingerprint;
  expect(of("INFO=1d", "ERROR=1w")).toBe(of("ERROR=7d", "INFO=24h"));
  expect(of("INFO=1d")).not.toBe(of("INFO=2d"));
});

test("an entry is kept for its time at least, and a 24th of it or an hour longer at most", () => {
  for (const keepMs of [60_000, 3_600_000, DAY, 365 * DAY]) {
    for (const storedAt of [1_700_000_000_000, 1_700_000_003_599, 1_700_001_234_567]) {
      const late = expiryOf(storedAt, keepMs) - storedAt - keepMs;
      expect(late).toBeGreaterThanOrEqual(0);
      expect(late).toBeLessThanOrEqual(Math.min(3_600_000, keepMs / 24));
    }
  }
});
