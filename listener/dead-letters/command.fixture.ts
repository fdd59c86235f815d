/** `listener dlq` on queues with a prefix (the first argument), for tests that kill it. */
import { loadConfig } from "#shared/config";
import { fields } from "../config.ts";
import { runDlq } from "./command.ts";
import { processTerminal } from "#shared/terminal";

const [prefix = "", ...args] = process.argv.slice(2);
const config = loadConfig("listener", fields, process.env);
const { signal } = new AbortController();
process.exit(await runDlq(config, args, { terminal: processTerminal(), topology: { prefix }, signal }));
