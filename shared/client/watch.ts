/** Asks a service behind whether it is alive, so that `/ready` is right also when nobody calls it. */
import type { Dependency } from "#shared/lifecycle";
import { quietContext } from "#shared/telemetry";
import type { JsonClient } from "./index.ts";

const EVERY_MS = 2_000;
const WITHIN_MS = 1_000;

/** Asks at once and then every 2 s until disposed. `/ready` of the other counts: alive without its database helps nobody. */
export function watchService(client: JsonClient, dependency: Dependency): Disposable {
  let asking = false;
  const ask = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    try {
      const answer = await client.request("GET", "/ready", undefined, quietContext(WITHIN_MS));
      if (!answer.ok) dependency.down(answer.error);
      else if (answer.value.status === 200) dependency.up();
      else dependency.down(new Error(answer.value.envelope.message));
    } finally {
      asking = false;
    }
  };
  const timer = setInterval(() => void ask(), EVERY_MS);
  void ask();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
