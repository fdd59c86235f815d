import { run } from "#shared/lifecycle";
import { start } from "./app.ts";
import { fields, problemsOf } from "./config.ts";

await run({
  name: "logger",
  summary: "Keeps log entries in MongoDB, taken over HTTP and RPC.",
  fields,
  problemsOf,
  start,
});
