/** broker: the one door. Start here, then app.ts. */
import { run } from "#shared/lifecycle";
import { start } from "./app.ts";
import { fields } from "./config.ts";

await run({ name: "broker", summary: "the API gateway of the platform", fields, start });
