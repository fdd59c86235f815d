import { Buffer } from "node:buffer";
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from "smtp-server";

/** The SMTP side of the development inbox: takes every mail from everybody, with or without a password. */

/** As large mail servers allow (bytes). */
const LARGEST = 25 * 1024 * 1024;
/** A client that says nothing for so long is gone (ms). */
const IDLE_MS = 60_000;

export type Deliver = (raw: Uint8Array, recipients: readonly string[]) => Promise<string>;

/**
 * smtp-server waits 100 ms before it greets, to catch spam programs that talk too soon, and has no option for it. Here
 * everybody may talk: it greets at once, and the timer's later call finds that it was done.
 */
class PromptServer extends SMTPServer {
  override connect(...[socket, options]: Parameters<SMTPServer["connect"]>): void {
    super.connect(socket, options);
    const connection = [...this.connections].at(-1);
    if (connection === undefined) return;
    const greet = connection.connectionReady.bind(connection);
    let greeted = false;
    connection.connectionReady = (next) => {
      if (greeted) return;
      greeted = true;
      greet(next);
    };
    setImmediate(() => connection.connectionReady());
  }
}

/** Serves until the returned function is called, which waits for mails that are under way. */
export async function serveSmtp(port: number, deliver: Deliver): Promise<() => Promise<void>> {
  const server = new PromptServer({
    name: "inbox.local",
    banner: "development inbox",
    size: LARGEST,
    logger: false,
    authOptional: true,
    allowInsecureAuth: true,
    // Any name and password will do: a client that is configured with one is tested with it.
    onAuth: (auth, _session, done) => done(null, { user: auth.username ?? "anybody" }),
    disabledCommands: ["STARTTLS"],
    disableReverseLookup: true,
    socketTimeout: IDLE_MS,
    closeTimeout: 2_000,
    onData: (stream, session, done) => {
      void receive(stream, session, deliver, done);
    },
  });
  // A client that breaks off is its own business.
  server.on("error", () => {});
  await new Promise<void>((resolve, reject) => {
    server.server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve());
  });
  return () => new Promise((resolve) => server.close(() => resolve()));
}

/** Answers the client when the mail is in its file; never throws. */
async function receive(
  stream: SMTPServerDataStream,
  session: SMTPServerSession,
  deliver: Deliver,
  answer: (error: Error | null, message?: string) => void,
): Promise<void> {
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream) chunks.push(chunk as Uint8Array);
    if (stream.sizeExceeded) throw Object.assign(new Error("message is too large"), { responseCode: 552 });
    const recipients = session.envelope.rcptTo.map(({ address }) => address);
    answer(null, `queued as ${await deliver(Buffer.concat(chunks), recipients)}`);
  } catch (error) {
    answer(error instanceof Error ? error : new Error(String(error)));
  }
}
