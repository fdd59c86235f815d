/** Looks where requests end: the document in MongoDB, the message in the inbox. */
import { type Document, MongoClient } from "mongodb";
import { sleep } from "#shared/resilience";
import { withDatabase } from "../backing/addresses.ts";
import { LOGS_DATABASE } from "../services.ts";

/** How long an effect may take to be seen (ms). */
const FOLLOW_MS = 10_000;
const LOOK_EVERY_MS = 25;
/** How long one look may take (ms). */
const LOOK_MS = 3_000;
const COLLECTION = "logs";
/** Newest messages that are looked through for one of ours. */
const NEWEST_MESSAGES = 50;

interface Letter {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly hasText: boolean;
  readonly hasHtml: boolean;
}

export interface Ends extends AsyncDisposable {
  /** The document that fits; throws when there is none in time. */
  document(what: string, filter: Document): Promise<Document>;
  /** The message with this subject; throws when there is none in time. */
  letter(subject: string): Promise<Letter>;
}

/** @param inboxUrl an inbox with Mailpit's API; undefined where mail goes to a server that has none. */
export function openEnds(mongodbUrl: string, inboxUrl: string | undefined, signal: AbortSignal): Ends {
  const client = new MongoClient(withDatabase(mongodbUrl, LOGS_DATABASE), {
    serverSelectionTimeoutMS: LOOK_MS,
    connectTimeoutMS: LOOK_MS,
    socketTimeoutMS: FOLLOW_MS,
    maxPoolSize: 4,
  });
  return {
    document: (what, filter) =>
      seenInTime(`the document of ${what} in MongoDB`, signal, () =>
        client.db().collection(COLLECTION).findOne(filter),
      ),
    letter: (subject) =>
      seenInTime(`the message "${subject}" in the inbox`, signal, () => letterIn(inboxUrl ?? "", subject)),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

/** Asks until there is something; a look that fails is a look that saw nothing, and is told at the end. */
async function seenInTime<T>(what: string, signal: AbortSignal, look: () => Promise<T | null | undefined>): Promise<T> {
  const deadline = performance.now() + FOLLOW_MS;
  let trouble = "";
  while (performance.now() < deadline) {
    try {
      const seen = await look();
      if (seen !== null && seen !== undefined) return seen;
      trouble = "";
    } catch (error) {
      trouble = error instanceof Error ? `: ${error.message}` : "";
    }
    await sleep(LOOK_EVERY_MS, signal);
  }
  throw new Error(`${what} was not seen within ${FOLLOW_MS / 1000} s${trouble}`);
}

interface MailpitList {
  readonly messages: readonly {
    readonly ID: string;
    readonly Subject: string;
    readonly From: { readonly Address: string };
    readonly To: readonly { readonly Address: string }[];
  }[];
}

async function letterIn(inboxUrl: string, subject: string): Promise<Letter | undefined> {
  const list = (await ask(`${inboxUrl}/api/v1/messages?limit=${NEWEST_MESSAGES}`)) as MailpitList;
  const found = list.messages.find((message) => message.Subject === subject);
  if (found === undefined) return undefined;
  const whole = (await ask(`${inboxUrl}/api/v1/message/${found.ID}`)) as { Text: string; HTML: string };
  return {
    id: found.ID,
    from: found.From.Address,
    to: found.To.map(({ Address }) => Address).join(", "),
    hasText: whole.Text !== "",
    hasHtml: whole.HTML !== "",
  };
}

async function ask(url: string): Promise<unknown> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(LOOK_MS) });
  if (!answer.ok) throw new Error(`the inbox answered ${answer.status}`);
  return answer.json();
}
