/** The auth service is killed (-9): no logins, and whoever is logged in goes on working. */
import type { FaultCase, Measured } from "../case.ts";
import { makeHistory } from "../../../dev/chaos/history.ts";
import { type Call, dishonest, makeCalls, repeat, startLoad, summarize } from "../../../dev/chaos/load.ts";
import { until } from "../../kit.ts";
import { bringBack, kill } from "../../../dev/chaos/scene.ts";
import { concluded } from "../verdicts.ts";

const LOGIN_MS = 3_000;
const HEAL_MS = 5_000;

const killed: FaultCase = {
  id: "F16",
  fault: "auth killed (-9), logins and session checks going on",
  promise: "a login is refused with 503 and Retry-After; session checks go on from what is cached, and say so",
  bar: `503 ≤ ${LOGIN_MS / 1_000} s, session checks succeed 100 %, logins work ≤ ${HEAL_MS / 1_000} s after its return`,
  inTests: true,
  async run({ full, random, platform: start }): Promise<Measured> {
    const platform = await start();
    const history = makeHistory(platform);
    const { login } = makeCalls(platform, history, random);
    const answer = await platform.handle({
      action: "auth",
      auth: { email: "admin@example.com", password: "verysecret" },
    });
    const token = (answer.body.data as { access_token: string }).access_token;
    const me: Call = {
      what: "me",
      run: async () => {
        try {
          const checked = await fetch(`${platform.url("broker")}/v1/me`, {
            headers: { authorization: `Bearer ${token}` },
            signal: AbortSignal.timeout(5_000),
          });
          const degraded = checked.headers.get("x-degraded");
          await checked.body?.cancel();
          return { status: checked.status, ...(degraded === null ? {} : { degraded }) };
        } catch (error) {
          return { status: 0, said: String(error) };
        }
      },
    };
    // Once while auth is there: that is what is cached.
    const first = await me.run();
    await kill(platform, "auth");
    const load = startLoad({ rate: 50, mix: [[me, 1]], random });
    const logins = await repeat(login, full ? 200 : 20, 4);
    await Bun.sleep(full ? 30_000 : 2_000);
    const checks = await load.stop();
    await bringBack(platform, "auth");
    const began = performance.now();
    await until("logins work", async () => (await login.run()).status === 202, 30_000);
    const healMs = performance.now() - began;
    const loginTimes = summarize(logins);
    const checkTimes = summarize(checks);
    const failed = checks.filter(({ status }) => status !== 200);
    const unmarked = checks.filter(
      ({ status, degraded }) => status === 200 && degraded?.includes("auth=cached") !== true,
    );
    return concluded(await history.verdict(), {
      healMs,
      figures: {
        logins: logins.length,
        login_max_ms: loginTimes.max,
        session_checks: checks.length,
        check_p99_ms: checkTimes.p99,
      },
      broken: [
        ...dishonest(logins),
        ...(first.status === 200 ? [] : [`GET /v1/me: ${first.status} while auth was there`]),
        ...(logins.some(({ status }) => status !== 503) ? ["a login was not refused with 503"] : []),
        ...(logins.some(({ retryAfter }) => retryAfter !== true) ? ["a login was refused without Retry-After"] : []),
        ...(loginTimes.max > LOGIN_MS ? [`a login took ${loginTimes.max} ms`] : []),
        ...(failed.length > 0
          ? [`${failed.length} of ${checks.length} session checks failed (${failed[0]?.status})`]
          : []),
        ...(unmarked.length > 0 ? [`${unmarked.length} cached answers did not say so`] : []),
        ...(healMs > HEAL_MS ? [`logins only after ${Math.round(healMs)} ms`] : []),
      ],
    });
  },
};

export const cases: readonly FaultCase[] = [killed];
