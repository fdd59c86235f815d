/** What tests of users and their mails share: calls with any method, who is logged in, and what lies in the outbox. */
import type { Role, Scope } from "#contracts/scopes";
import type { Secret } from "#shared/config";
import { loadConfig } from "#shared/config";
import { fields, secretOf } from "../config.ts";
import { makeSealer } from "../keys.ts";
import type { Parcel } from "../outbox/outbox.ts";
import type { Reply, TestAuth } from "../service.test-kit.ts";

export const PASSWORD = "long enough";
const HASH = Bun.password.hashSync(PASSWORD, { algorithm: "bcrypt", cost: 4 });

export interface Person {
  readonly id: number;
  readonly email: string;
  readonly token: string;
}

export interface PersonOptions {
  readonly role?: Role;
  readonly scopes?: readonly Scope[];
  readonly active?: 0 | 1;
}

let people = 0;

/** Adds a user as an older installation would have him. */
export async function add(
  { sql }: TestAuth,
  options: PersonOptions & { email?: string } = {},
): Promise<Omit<Person, "token">> {
  const { role = "member", scopes = [], active = 1, email = `person-${(people += 1)}@example.com` } = options;
  const [row] = await sql<{ id: number }[]>`
    insert into users (email, password, user_active, role, extra_scopes)
    values (${email}, ${HASH}, ${active}, ${role}, ${[...scopes]}::text[]) returning id`;
  return { id: row?.id ?? 0, email };
}

/** A user who has just logged in. */
export async function loggedIn(auth: TestAuth, options: PersonOptions & { email?: string } = {}): Promise<Person> {
  const { id, email } = await add(auth, options);
  return { id, email, token: await tokenOf(auth, email) };
}

export async function tokenOf(auth: TestAuth, email: string, password = PASSWORD): Promise<string> {
  const { status, json } = await auth.post("/authenticate", { email, password });
  if (status !== 202) throw new Error(`no login: ${status} ${json.message}`);
  return String(json.data["access_token"]);
}

export async function call(
  { app }: Pick<TestAuth, "app">,
  method: string,
  path: string,
  { token, body, headers = {} }: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Reply> {
  const reply = await fetch(`${app.url}${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await reply.text();
  return { status: reply.status, headers: reply.headers, text, json: JSON.parse(text) as Reply["json"] };
}

const DEVELOPMENT: Secret = secretOf(loadConfig("auth", fields, {}));

/** What lies in the outbox, oldest first: with nobody to bring it to, all that was put. */
export async function parcels({ sql }: TestAuth): Promise<Parcel[]> {
  const sealer = makeSealer(DEVELOPMENT, "outbox");
  const rows = await sql<{ id: string; body: Uint8Array }[]>`select id, body from outbox order by seq`;
  return rows.map(({ id, body }) => JSON.parse(sealer.open(body, id) ?? "null") as Parcel);
}

/** Entries of an action about a user. */
export async function audits(auth: TestAuth, action: string, userId: number): Promise<Record<string, unknown>[]> {
  return (await parcels(auth)).flatMap((parcel) =>
    parcel.to === "audit" && parcel.data.action === action && parcel.data["user_id"] === userId ? [parcel.data] : [],
  );
}

interface Letter {
  readonly template: string;
  readonly variables: Readonly<Record<string, unknown>>;
  /** Of its link. */
  readonly token: string;
  readonly until: string;
}

export async function lettersTo(auth: TestAuth, address: string): Promise<Letter[]> {
  return (await parcels(auth)).flatMap((parcel) => {
    if (parcel.to !== "mail" || parcel.mail.to !== address) return [];
    const { name = "", variables = {} } = parcel.mail.template ?? {};
    const token = /#token=([\w-]+)$/.exec(String(variables["verify_url"] ?? variables["reset_url"]))?.[1] ?? "";
    return [{ template: name, variables, token, until: parcel.until }];
  });
}
