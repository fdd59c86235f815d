/** auth: who is this? Credentials in, tokens out. Start here, then app.ts. */
import { run } from "#shared/lifecycle";
import { start } from "./app.ts";
import { fields, problemsOf } from "./config.ts";

await run({ name: "auth", summary: "logs users in and signs their tokens", fields, problemsOf, start });
