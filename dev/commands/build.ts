import { join } from "node:path";
import type { Command } from "../command.ts";
import { ROOT } from "../paths.ts";

export const build: Command = {
  name: "build",
  words: "[service]...",
  maxWords: 5,
  summary: "compile the services into dist/, one executable each",
  options: {},
  async run({ words }) {
    const { main } = (await import(join(ROOT, "deploy", "build.ts"))) as {
      main: (services: readonly string[]) => Promise<number>;
    };
    return main(words);
  },
};
