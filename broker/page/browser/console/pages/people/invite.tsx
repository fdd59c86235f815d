/** Somebody new: registered under a password that nobody knows, and sent a link to choose one. */
import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";
import { ROLES } from "#contracts/scopes";
import { ask, type Reply, type Schema } from "../../api.ts";
import { useBarred } from "../../asked.tsx";
import { Button, ChoiceField, Notice, PageTitle, TextField, toast } from "../../ui.tsx";
import { isRole, notYours, ROLE_OPTIONS } from "./scopes.tsx";

export function InvitePage() {
  const { route } = useLocation();
  const barred = useBarred("users:manage");
  const [email, setEmail] = useState("");
  const [first, setFirst] = useState("");
  const [last, setLast] = useState("");
  const [role, setRole] = useState("member");
  const [problem, setProblem] = useState<string>();
  const [step, setStep] = useState<string>();
  const lacking = isRole(role) ? notYours(ROLES[role]) : [];
  const why =
    barred ?? (lacking.length === 0 ? undefined : `You can't give what you have not yourself: ${lacking.join(", ")}`);

  /** @returns the data; else what went wrong is told. */
  async function did<T>(what: string, asked: Promise<Reply<T>>): Promise<T | undefined> {
    setStep(what);
    const reply = await asked;
    setStep(undefined);
    if (reply.ok) return reply.data ?? ({} as T);
    setProblem(`${what}: ${reply.trouble.message}`);
    return undefined;
  }

  const invite = async (): Promise<void> => {
    setProblem(undefined);
    const registration = {
      email,
      password: `${crypto.randomUUID()}${crypto.randomUUID()}`,
      first_name: first,
      last_name: last,
    };
    const made = await did(
      "Registering",
      ask<Schema<"RegistrationView">>("POST", "/v1/users", { body: registration, anonymous: true }),
    );
    if (made === undefined) return;
    const path = `/v1/users/${made.id}`;
    if (role !== "member") {
      const user = await did("Looking at the new user", ask<Schema<"ManagedUser">>("GET", path));
      const body = { version: user?.version, role };
      if (user === undefined || (await did("Giving the role", ask("PATCH", path, { body }))) === undefined) return;
    }
    const mail = ask("POST", "/v1/password-resets", { body: { email }, anonymous: true });
    if ((await did("Sending the link", mail)) === undefined) return;
    toast(`${email} is invited: a link to choose a password is on its way`);
    route(`/console/people/users/${made.id}`);
  };
  return (
    <div class="narrow">
      <PageTitle
        title="Invite somebody"
        lead="A welcome mail and a link to choose a password are sent to the address. The link works for an hour; another one can be had on the page of a forgotten password."
      />
      {problem !== undefined && (
        <Notice tone="bad" title={problem}>
          <p>
            What was done before that stays:{" "}
            <a href={`/console/people/users?q=${encodeURIComponent(email)}`}>look for the user</a>.
          </p>
        </Notice>
      )}
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void invite();
        }}
      >
        <TextField label="E-mail address" type="email" autocomplete="off" required value={email} onInput={setEmail} />
        <TextField label="First name" autocomplete="off" value={first} onInput={setFirst} />
        <TextField label="Last name" autocomplete="off" value={last} onInput={setLast} />
        <ChoiceField label="Role" value={role} onInput={setRole} options={ROLE_OPTIONS} />
        <div class="actions">
          <Button type="submit" kind="primary" disabled={step !== undefined} barred={why}>
            Invite
          </Button>
          <a class="button" href="/console/people/users">
            Cancel
          </a>
          <span role="status">{step !== undefined && `${step}…`}</span>
        </div>
      </form>
    </div>
  );
}
