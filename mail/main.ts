/** mail: takes a mail, keeps it, and says the truth about it. Start here, then app.ts. */
import { run } from "#shared/lifecycle";
import { start } from "./app.ts";
import { fields, problemsOf } from "./config.ts";
import { outbox } from "./desk/command.ts";

await run({
  name: "mail",
  summary: "sends mail by way of an outbox that survives",
  fields,
  problemsOf,
  commands: { outbox },
  start,
});
