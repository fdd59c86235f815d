/** broker: the one door. Start here, then app.ts. */
import { run } from "#shared/lifecycle";
import { start } from "./app.ts";
import { fields, problemsOf } from "./config.ts";

await run({ name: "broker", summary: "the API gateway of the platform", fields, problemsOf, start });
