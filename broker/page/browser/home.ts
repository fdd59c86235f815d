/** The first page: a button for each request, the body as sent and as received. Answers are shown as text, never as markup. */

interface Example {
  readonly label: string;
  readonly path: string;
  readonly body: unknown;
}

const EXAMPLES: readonly Example[] = [
  { label: "Test broker", path: "/", body: {} },
  {
    label: "Test auth",
    path: "/handle",
    body: { action: "auth", auth: { email: "admin@example.com", password: "verysecret" } },
  },
  { label: "Test log", path: "/handle", body: { action: "log", log: { name: "event", data: "Some kind of data" } } },
  {
    label: "Test mail",
    path: "/handle",
    body: {
      action: "mail",
      mail: { from: "me@example.com", to: "you@there.com", subject: "Test email", message: "Hello world!" },
    },
  },
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

function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no ${kind.name} #${id}`);
  return found;
}

const actions = element("actions", HTMLDivElement);
const body = element("body", HTMLTextAreaElement);
const target = element("target", HTMLElement);
const sendButton = element("send", HTMLButtonElement);
const status = element("status", HTMLParagraphElement);
const outcome = element("outcome", HTMLElement);
const received = element("received", HTMLPreElement);
const headers = element("headers", HTMLPreElement);
const hint = element("hint", HTMLParagraphElement);

let path = "/handle";
let sending = false;

function say(text: string, tone: "good" | "bad" | "warn" | ""): void {
  status.textContent = text;
  status.className = tone;
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // not JSON: shown as it came
  }
}

/** Whether the body is JSON is only said here: it is sent as it stands, so that the broker's own answer can be seen. */
function checkBody(): void {
  try {
    JSON.parse(body.value);
    hint.textContent = "";
  } catch (error) {
    hint.textContent = `Not JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function send(): Promise<void> {
  if (sending) return;
  sending = true;
  sendButton.disabled = true;
  say(`Sending to ${path} …`, "");
  const startedAt = performance.now();
  try {
    const reply = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: body.value,
      signal: AbortSignal.timeout(30_000),
    });
    const text = await reply.text();
    const ms = Math.round(performance.now() - startedAt);
    const degraded = reply.headers.get("x-degraded");
    outcome.textContent = `${reply.status} ${reply.statusText} · ${ms} ms`;
    received.textContent = pretty(text);
    headers.textContent = [...reply.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    if (!reply.ok) say(`Refused with ${reply.status} after ${ms} ms.`, "bad");
    else if (degraded !== null) say(`Accepted in another way (${degraded}) after ${ms} ms.`, "warn");
    else say(`Done with ${reply.status} after ${ms} ms.`, "good");
  } catch (error) {
    outcome.textContent = "no answer";
    received.textContent = "";
    headers.textContent = "";
    say(`No answer from the broker: ${error instanceof Error ? error.message : String(error)}`, "bad");
  } finally {
    sending = false;
    sendButton.disabled = false;
  }
}

for (const example of EXAMPLES) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = example.label;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    if (sending) return;
    for (const other of actions.querySelectorAll("button"))
      other.setAttribute("aria-pressed", String(other === button));
    path = example.path;
    target.textContent = `POST ${path}`;
    body.value = JSON.stringify(example.body, null, 2);
    checkBody();
    void send();
  });
  actions.append(button);
}
body.value = JSON.stringify(EXAMPLES[2]?.body, null, 2);
body.addEventListener("input", checkBody);
body.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    void send();
  }
});
sendButton.addEventListener("click", () => void send());
