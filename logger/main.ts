import { run } from "#shared/lifecycle";
import { auditCommand } from "./audit/command.ts";
import { start } from "./app.ts";
import { fields, problemsOf } from "./config.ts";

await run({
  name: "logger",
  summary: "Keeps log entries in MongoDB, taken over HTTP and RPC.",
  fields,
  problemsOf,
  commands: {
    audit: {
      about: "verify: tell where the audit trail was changed, if anywhere; exit code 0, or 1 where it was",
      takesArguments: true,
      run: (config, _log, args) => auditCommand(config, args),
    },
  },
  start,
});
