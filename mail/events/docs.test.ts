/** The receiver of docs/mail-events.md in another language, tried with real calls. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { makePost } from "./post.ts";
import { Secret } from "#shared/config";
import { NEXT_SECRET, SECRET } from "./events.test-kit.ts";
import { keyBytesOf } from "./targets.ts";

setDefaultTimeout(30_000);
const python = Bun.which("python3");

test.skipIf(python === null)(
  "the Python receiver (needs python3) takes what is genuine, once, and nothing else",
  async () => {
    const script = join(import.meta.dir, "../../docs/examples/webhook_receiver.py");
    const child = Bun.spawn([python ?? "", script, "--port", "0", "--secret", SECRET], {
      stdout: "pipe",
      stderr: "inherit",
    });
    try {
      const output = child.stdout.getReader();
      const decoder = new TextDecoder();
      let printed = "";
      const line = async (): Promise<string> => {
        for (;;) {
          const end = printed.indexOf("\n");
          if (end >= 0) {
            const first = printed.slice(0, end);
            printed = printed.slice(end + 1);
            return first.trim();
          }
          const { value, done } = await output.read();
          if (done) throw new Error("the receiver ended");
          printed += decoder.decode(value, { stream: true });
        }
      };
      const port = /^listening on (\d+)$/.exec(await line())?.[1];
      const target = {
        name: "",
        label: "",
        url: new Secret(`http://127.0.0.1:${port}/`),
        authorization: undefined,
        exposed: false,
      };
      const event = {
        id: Bun.randomUUIDv7(),
        type: "mail.sent",
        at: new Date(),
        mailId: Bun.randomUUIDv7(),
        payload: { recipient: "jörg@example.org", state: "sent", attempts: 1 },
      } as const;
      const post = async (...secrets: string[]) =>
        (
          await makePost(keyBytesOf(secrets.map((secret) => new Secret(secret))))(
            target,
            event,
            AbortSignal.timeout(5_000),
          )
        ).status;
      expect(await post(NEXT_SECRET)).toBe(401);
      expect(await post(NEXT_SECRET, SECRET)).toBe(204);
      expect(await line()).toBe(`mail.sent ${event.mailId} jörg@example.org`);
      expect(await post(SECRET)).toBe(204);
      expect(await post(SECRET)).toBe(204);
    } finally {
      child.kill();
      await child.exited;
    }
  },
);
