import { run } from "#shared/lifecycle";
import { start } from "./app.ts";
import { fields } from "./config.ts";

await run({ name: "logger", summary: "Keeps log entries in MongoDB, taken over HTTP and RPC.", fields, start });
