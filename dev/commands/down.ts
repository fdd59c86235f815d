import { type Identity, isAlive } from "../backing/processes.ts";
import { type Command, DATA_OPTION } from "../command.ts";
import { lockHolder } from "../lock.ts";
import { dataDirectory } from "../paths.ts";
import { takeDownLeftovers } from "../teardown.ts";
import { listed } from "../terminal.ts";

/** Three stages of services and two of backing services, each of which is killed after at most 13 s (ms). */
const STOP_MS = 65_000;
const LOOK_EVERY_MS = 25;

export const down: Command = {
  name: "down",
  summary: "stop everything that up started, and wait until it is gone",
  options: { data: DATA_OPTION },
  async run(args) {
    const dataDir = dataDirectory(args.text("data"));
    const supervisor = lockHolder(dataDir);
    if (supervisor !== undefined) {
      process.stdout.write(`Stopping the platform (process ${supervisor.pid})…\n`);
      await stopSupervisor(supervisor);
    }
    const left = await takeDownLeftovers(dataDir);
    if (left.length > 0) process.stdout.write(`Ended what a run that was killed had left behind: ${listed(left)}.\n`);
    process.stdout.write(
      supervisor === undefined && left.length === 0 ? "Nothing is running.\n" : "Everything is stopped.\n",
    );
    return 0;
  },
};

async function stopSupervisor(supervisor: Identity): Promise<void> {
  process.kill(supervisor.pid, "SIGTERM");
  if (process.platform !== "win32") process.kill(supervisor.pid, "SIGCONT");
  const deadline = performance.now() + STOP_MS;
  while (isAlive(supervisor)) {
    if (performance.now() > deadline) {
      process.kill(supervisor.pid, "SIGKILL");
      return;
    }
    await Bun.sleep(LOOK_EVERY_MS);
  }
}
