/**
 * The pages that links in mails lead to: an address is verified, a password chosen, sessions are looked at and ended. The token of
 * a link is sent when somebody asks for it: a scanner that opens links uses none up. Answers are shown as text.
 */

interface Answer {
  readonly error: boolean;
  readonly message: string;
  readonly data?: unknown;
}

interface Session {
  readonly id: string;
  readonly used_at: string;
  readonly address?: string;
  readonly agent?: string;
  readonly current: boolean;
}

interface Field {
  readonly name: string;
  readonly label: string;
  readonly type: "email" | "password";
  readonly autocomplete: "username" | "current-password" | "new-password";
  readonly minLength?: number;
}

const EMAIL: Field = { name: "email", label: "E-mail address", type: "email", autocomplete: "username" };
const PATIENCE_MS = 15_000;

function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no #${id}`);
  return found;
}
const [title, status, account] = [byId("title"), byId("status"), byId("account")];

/** Of the link that was opened. It is taken out of the address, so that it is not bookmarked or sent on. */
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token !== null) history.replaceState(null, "", location.pathname);

function tell(tone: "good" | "bad" | "", text: string): void {
  status.className = tone;
  status.textContent = text;
}

/** @returns the data of a success; what went wrong is told. */
async function send(method: string, path: string, body?: unknown, bearer?: string): Promise<Answer | undefined> {
  tell("", "Sending…");
  try {
    const reply = await fetch(`/v1${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const answer = (await reply.json()) as Answer;
    tell(answer.error ? "bad" : "good", answer.message);
    return answer.error ? undefined : answer;
  } catch (error) {
    tell("bad", `Nothing was heard: ${error instanceof Error ? error.message : String(error)}. Try again.`);
    return undefined;
  }
}

/** A form with a button; `submit` says whether it is done with. */
function form(
  fields: readonly Field[],
  button: string,
  submit: (values: Record<string, string>) => Promise<boolean>,
): void {
  const made = document.createElement("form");
  for (const { name, label, type, autocomplete, minLength } of fields) {
    const line = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { name, type, autocomplete, required: true });
    if (minLength !== undefined) input.minLength = minLength;
    line.append(label, input);
    made.append(line);
  }
  const act = Object.assign(document.createElement("button"), { type: "submit", textContent: button });
  made.append(act);
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    const inputs = [...made.querySelectorAll("input")];
    const values = Object.fromEntries(inputs.map(({ name, value }) => [name, value]));
    act.disabled = true;
    void submit(values).then((isDone) => {
      act.disabled = false;
      if (isDone) made.remove();
    });
  });
  account.replaceChildren(made);
  made.querySelector("input")?.focus();
}

function askFor(path: string): void {
  form([EMAIL], "Send me a link", async (values) => (await send("POST", path, values)) !== undefined);
}

function verifyAddress(): void {
  title.textContent = "Verify your address";
  if (token === null) return askFor("/email-verifications");
  form(
    [],
    "Confirm the address",
    async () => (await send("POST", "/email-verifications/confirm", { token })) !== undefined,
  );
}

function resetPassword(): void {
  title.textContent = token === null ? "Forgotten password" : "Choose a new password";
  if (token === null) return askFor("/password-resets");
  const fields: Field[] = [
    {
      name: "new_password",
      label: "New password (8 characters or more)",
      type: "password",
      autocomplete: "new-password",
      minLength: 8,
    },
  ];
  form(fields, "Change the password", async (values) => {
    return (await send("POST", "/password-resets/confirm", { token, ...values })) !== undefined;
  });
}

function sessions(): void {
  title.textContent = "Your sessions";
  const fields: Field[] = [
    EMAIL,
    { name: "password", label: "Password", type: "password", autocomplete: "current-password" },
  ];
  form(fields, "Log in", async (values) => {
    const answer = await send("POST", "/sessions", values);
    if (answer === undefined) return false;
    // In memory only: it is gone with the page.
    await list((answer.data as { access_token: string }).access_token);
    return true;
  });
}

async function list(bearer: string): Promise<void> {
  const answer = await send("GET", "/sessions", undefined, bearer);
  if (answer === undefined) return;
  const { items } = answer.data as { items: Session[] };
  const rows = items.map(({ id, used_at, address = "?", agent = "?", current }) => {
    const row = document.createElement("li");
    row.append(`${new Date(used_at).toLocaleString()} · ${address} · ${agent}${current ? " · this one" : ""}`);
    const end = Object.assign(document.createElement("button"), { type: "button", textContent: "End" });
    end.addEventListener("click", () => {
      end.disabled = true;
      void send("DELETE", `/sessions/${id}`, undefined, bearer).then((ended) => {
        if (ended === undefined) end.disabled = false;
        else row.remove();
      });
    });
    row.append(end);
    return row;
  });
  const all = document.createElement("ul");
  all.append(...rows);
  account.replaceChildren(all);
}

// A link that is opened where its page is open already: the browser changes the address and nothing else.
addEventListener("hashchange", () => location.reload());

if (location.pathname.endsWith("/verify-address")) verifyAddress();
else if (location.pathname.endsWith("/reset-password")) resetPassword();
else sessions();
