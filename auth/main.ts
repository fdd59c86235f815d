/** auth: who is this? Credentials in, tokens out. Start here, then app.ts. */
import { run } from "#shared/lifecycle";
import { admin } from "./admin/command.ts";
import { start } from "./app.ts";
import { fields, problemsOf } from "./config.ts";
import { sagasCommand } from "./registration/sagas-command.ts";
import { seed } from "./seed.ts";
import { keysCommand } from "./sessions/keys-command.ts";

await run({
  name: "auth",
  summary: "registers users, logs them in and signs their tokens",
  fields,
  problemsOf,
  commands: {
    admin,
    seed: { about: "add the development user admin@example.com; refused in production", run: seed },
    keys: {
      about: "list: the keys of access tokens; rotate: a new one signs in 5 minutes; retire <kid> [--compromised]",
      takesArguments: true,
      run: keysCommand,
    },
    sagas: {
      about: "list [state]: workflows that have not ended; retry <id>: let a stuck one go on",
      takesArguments: true,
      run: sagasCommand,
    },
  },
  start,
});
