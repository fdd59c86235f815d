/** What the tests of `/v1` share: a real broker, with doubles of auth, listener and logger that answer by their contracts or not at all. */
import { beforeAll } from "bun:test";
import { makeAuthDouble, makeKey, sign, type TestKey, type TokenOptions } from "../auth.test-kit.ts";
import { brokers, makeService, until } from "../platform.test-kit.ts";

export const OPERATOR_TOKEN = "canary-operators-token";

/** Brokers for the tests of a file, each with doubles of its own; auth has one key for all of them. */
export function versionedBrokers() {
  let key: TestKey;
  beforeAll(async () => {
    key = await makeKey();
  });
  const { platform, closing } = brokers();
  /** Of an admin, unless its claims say otherwise. */
  const sessionToken = (options: TokenOptions = {}): Promise<string> => sign(key, options);
  const memberToken = (): Promise<string> => sign(key, { claims: { scope: "logs:write mails:send" } });

  async function broker(env: Record<string, string> = {}) {
    const auth = makeAuthDouble([key]);
    closing.push(() => auth.down());
    const listener = makeService();
    closing.push(() => listener.stop());
    const logger = makeService();
    closing.push(() => logger.stop());
    const running = await platform({ AUTH_URL: auth.url, LISTENER_URL: listener.url, LOGGER_URL: logger.url, ...env });
    await until("auth's keys", running.isUp("auth_keys"));

    async function call(path: string, headers: Record<string, string> = {}, at = running.app.url) {
      const startedAt = performance.now();
      const answer = await fetch(`${at}${path}`, { headers });
      const body = (await answer.json()) as { error: boolean; message: string; data?: Record<string, unknown> };
      return { status: answer.status, headers: answer.headers, body, tookMs: performance.now() - startedAt };
    }
    const me = async (options: TokenOptions = {}, at = running.app.url) =>
      call("/v1/me", { authorization: `Bearer ${await sessionToken(options)}` }, at);
    return { ...running, auth, listener, logger, call, me };
  }
  return { broker, sessionToken, memberToken, closing };
}
