/** listener: takes events and jobs from RabbitMQ and sees each to its end. Start here, then app.ts. */
import { run } from "#shared/lifecycle";
import { start } from "./app.ts";
import { fields, problemsOf } from "./config.ts";
import { dlq } from "./dead-letters/command.ts";

await run({
  name: "listener",
  summary: "stores every event with the logger, once, and does the jobs that others left",
  fields,
  problemsOf,
  commands: { dlq },
  start,
});
