/** Dots in a path: written by hand, since every client takes them for a way up. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { brokers } from "../platform.test-kit.ts";

const { platform } = brokers();

/** The status line of an answer. */
function ask(port: number, line: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(port, "127.0.0.1", () => socket.write(`${line} HTTP/1.1\r\nHost: x\r\n\r\n`));
  socket.once("data", (data) => {
    socket.destroy();
    resolve(data.toString().split("\r\n")[0] ?? "");
  });
  socket.once("error", reject);
  return promise;
}

test.each([
  "GET /v1/unsubscribe/..",
  "GET /v1/unsubscribe/%2e%2E",
  "GET /v1/unsubscribe/.",
  "GET /v1/mails/%2e%2e",
  "GET /v1/mails/%2e%2e/content",
  "DELETE /v1/suppressions/%2e",
])("%s is 404, and the mail service is asked for no other path", async (line) => {
  const { app, mail } = await platform();
  expect(await ask(Number(new URL(app.url).port), line)).toBe("HTTP/1.1 404 Not Found");
  expect(mail.asked).toEqual([]);
});
