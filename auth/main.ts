/** auth: who is this? Credentials in, tokens out. Start here, then app.ts. */
import { run } from "#shared/lifecycle";
import { start } from "./app.ts";
import { fields, problemsOf } from "./config.ts";
import { seed } from "./seed.ts";

await run({
  name: "auth",
  summary: "logs users in and signs their tokens",
  fields,
  problemsOf,
  commands: { seed: { about: "add the development user admin@example.com; refused in production", run: seed } },
  start,
});
