/** Requests of the page Try: what can be sent, as a form and as text, and as what other programs would send. */

export type Action = "auth" | "log" | "mail";
type Fields = Readonly<Record<string, unknown>>;

export interface Example {
  readonly label: string;
  readonly path: "/" | "/handle";
  readonly body: unknown;
}

const LOG = { action: "log", log: { name: "event", data: "Some kind of data" } };
const AUTH = { action: "auth", auth: { email: "admin@example.com", password: "verysecret" } };
const MAIL = {
  action: "mail",
  mail: { from: "me@example.com", to: "you@there.com", subject: "Test email", message: "Hello world!" },
};

export const EXAMPLES: readonly Example[] = [
  { label: "Test broker", path: "/", body: {} },
  { label: "Test auth", path: "/handle", body: AUTH },
  { label: "Test log", path: "/handle", body: LOG },
  { label: "Test mail", path: "/handle", body: MAIL },
  {
    label: "Test batch",
    path: "/handle",
    body: [
      { action: "log", log: { name: "batch", data: { step: 1 }, severity: "WARNING" } },
      { action: "auth", auth: { email: "admin@example.com", password: "wrong" } },
      { action: "nonsense" },
    ],
  },
];

export const FRESH: Readonly<Record<Action, Fields>> = { auth: AUTH, log: LOG, mail: MAIL };

/** What a form can show of it: one action, or several. Undefined: only the text shows it. */
export function actionsOf(text: string): readonly Fields[] | undefined {
  const value = valueOf(text);
  const items = Array.isArray(value) ? value : [value];
  return items.every(isFields) ? items : undefined;
}

export function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Said beside the text; it is sent as it stands.
    return undefined;
  }
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export function partOf(item: Fields, action: string): Fields {
  const part = item[action];
  return isFields(part) ? part : {};
}

/** `data` of a log entry is any JSON: what is typed is JSON where it is, else text. */
export const dataOf = (typed: string): unknown => valueOf(typed) ?? typed;
export const typedOf = (data: unknown): string =>
  typeof data === "string" ? data : (JSON.stringify(data, null, 2) ?? "");

export interface Sent {
  readonly path: string;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** For a shell. */
export function asCurl({ path, text, headers }: Sent): string {
  const given = Object.entries({ "content-type": "application/json", ...headers });
  return [
    `curl -i ${quoted(location.origin + path)}`,
    ...given.map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    `-d ${quoted(text)}`,
  ].join(" \\\n  ");
}

/** For a browser or a program in JavaScript. */
export function asFetch({ path, text, headers }: Sent): string {
  const value = valueOf(text);
  const body = value === undefined ? JSON.stringify(text) : `JSON.stringify(${JSON.stringify(value, null, 2)})`;
  return `const answer = await fetch(${JSON.stringify(location.origin + path)}, {
  method: "POST",
  headers: ${JSON.stringify({ "content-type": "application/json", ...headers })},
  body: ${body},
  signal: AbortSignal.timeout(30_000),
});
console.log(answer.status, await answer.json());`;
}

/**
 * The same entries straight to the logger, by the RPC (docs/rpc.md): a program for Python, with nothing but its standard library and
 * `msgpack`. Undefined where there is no log action among them: the RPC takes entries only.
 */
export function asRpc(text: string): string | undefined {
  const entries = (actionsOf(text) ?? []).filter(({ action }) => action === "log").map((item) => partOf(item, "log"));
  if (entries.length === 0) return undefined;
  const json = JSON.stringify(entries);
  return `import json, socket, struct, msgpack  # pip install msgpack

def exactly(connection, size):
    got = b""
    while len(got) < size:
        piece = connection.recv(size - len(got))
        if not piece: raise ConnectionError("closed")
        got += piece
    return got

entries = json.loads(${pythonText(json)})
with socket.create_connection((${pythonText(location.hostname)}, 5001), timeout=5) as connection:
    for number, entry in enumerate(entries, 1):
        call = msgpack.packb([0, number, "RPCServer.LogInfo", [entry], {"deadline_ms": 5000}])
        connection.sendall(struct.pack(">I", len(call)) + call)
        size, = struct.unpack(">I", exactly(connection, 4))
        print(msgpack.unpackb(exactly(connection, size)))`;
}

/** JSON's escapes mean the same in Python, within its quotes. */
const pythonText = (text: string): string => JSON.stringify(text);
