import { expect, test } from "bun:test";
import { loadConfig } from "#shared/config";
import { fields } from "./config.ts";

test("without any configuration it runs on a laptop", () => {
  const config = loadConfig("logger", fields, {});
  expect(config).toMatchObject({ PORT: 8082, RPC_PORT: 5001, HOST: "127.0.0.1" });
  expect(config.LOGGER_RPC_TOKEN).toBeUndefined();
  expect(config.MONGODB_URL.reveal()).toBe("mongodb://localhost:27017/logs");
});

test("every bad variable is named, and no secret shown", () => {
  const load = () =>
    loadConfig("logger", fields, {
      PORT: "http",
      RPC_PORT: "70000",
      MONGODB_URL: "postgres://user:s3cret@localhost/logs",
    });
  for (const name of ["PORT", "RPC_PORT", "MONGODB_URL"]) expect(load).toThrow(new RegExp(`^ {2}${name} must be`, "m"));
  expect(load).not.toThrow(/s3cret/);
});
