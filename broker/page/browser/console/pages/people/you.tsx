/** Who is signed in: name, rights, password. */
import { useEffect, useState } from "preact/hooks";
import { ask, type Schema } from "../../api.ts";
import { change, Show, useAsked } from "../../asked.tsx";
import { noteMe } from "../../session.ts";
import { Badge, Button, Notice, PageTitle, Section, TextField, Time, toast } from "../../ui.tsx";
import { ScopeList } from "./scopes.tsx";

type Me = Schema<"MeView">;

const MIN_PASSWORD = 8;

export function YouPage() {
  const asked = useAsked<Me>("/v1/me");
  const { data, refresh } = asked;
  // What the tab knew of him since the login may be old.
  useEffect(() => {
    if (data !== undefined) noteMe(data);
  }, [data]);
  return (
    <>
      <PageTitle title="You" />
      <Show of={asked} what="who you are">
        {(me) => (
          <div class="panes">
            <div>
              <Account me={me} />
              <Name key={me.version} me={me} onChanged={refresh} />
            </div>
            <div>
              <Section title="What you may">
                <ScopeList scopes={me.scopes} empty="Nothing that needs a right." />
              </Section>
              <Password />
            </div>
          </div>
        )}
      </Show>
    </>
  );
}

function Account({ me }: { me: Me }) {
  return (
    <Section title="Your account">
      <dl class="facts">
        <dt>E-mail address</dt>
        <dd>
          {me.email}{" "}
          {me.email_verified ? <Badge tone="good">verified</Badge> : <Badge tone="warn">not verified yet</Badge>}
        </dd>
        <dt>Role</dt>
        <dd>{me.role}</dd>
        <dt>Registered</dt>
        <dd>
          <Time at={me.created_at} />
        </dd>
        <dt>Id</dt>
        <dd>{me.id}</dd>
      </dl>
      {!me.email_verified && (
        <p>
          <Button
            onClick={async () => {
              await change("POST", "/v1/email-verifications", {
                body: { email: me.email },
                done: `A mail with a link is on its way to ${me.email}`,
              });
            }}
          >
            Send me a link that verifies it
          </Button>
        </p>
      )}
      <p class="hint">Who manages users can give you another address or role.</p>
    </Section>
  );
}

function Name({ me, onChanged }: { me: Me; onChanged: () => void }) {
  const [first, setFirst] = useState(me.first_name);
  const [last, setLast] = useState(me.last_name);
  const isSame = first === me.first_name && last === me.last_name;

  const save = async (): Promise<void> => {
    const { first_name, last_name } = me;
    const reply = await change<Me>("PATCH", "/v1/me", {
      body: { version: me.version, first_name: first, last_name: last },
      done: "Your name is changed",
      undo: async () => {
        const version = reply.ok ? reply.data.version : me.version;
        await change("PATCH", "/v1/me", { body: { version, first_name, last_name }, done: "Your name is as before" });
        onChanged();
      },
    });
    onChanged();
  };
  return (
    <Section title="Your name">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <TextField label="First name" autocomplete="given-name" value={first} onInput={setFirst} />
        <TextField label="Last name" autocomplete="family-name" value={last} onInput={setLast} />
        <Button type="submit" kind="primary" disabled={isSame}>
          Save the name
        </Button>
      </form>
    </Section>
  );
}

function Password() {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);

  const save = async (): Promise<void> => {
    setBusy(true);
    const reply = await ask<Schema<"SessionsEnded">>("PUT", "/v1/me/password", {
      body: { current_password: current, new_password: next },
    });
    setBusy(false);
    if (!reply.ok) {
      const { message, retryAfterS } = reply.trouble;
      return setProblem(retryAfterS === undefined ? message : `${message} (in ${retryAfterS} s)`);
    }
    setProblem(undefined);
    setCurrent("");
    setNext("");
    const { ended } = reply.data;
    const others = ended === 0 ? "no other session was open" : `other sessions that ended: ${ended}`;
    toast(`Your password is changed; ${others}`);
  };
  return (
    <Section title="Your password">
      {problem !== undefined && (
        <Notice tone="bad" title="The password is as it was">
          <p>{problem}</p>
        </Notice>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <TextField
          label="Current password"
          type="password"
          autocomplete="current-password"
          required
          value={current}
          onInput={setCurrent}
        />
        <TextField
          label="New password"
          type="password"
          autocomplete="new-password"
          required
          hint={`${MIN_PASSWORD} characters or more, and none that everybody tries first. All of your other sessions end.`}
          error={
            next !== "" && next.length < MIN_PASSWORD ? `${MIN_PASSWORD - next.length} more characters` : undefined
          }
          value={next}
          onInput={setNext}
        />
        <Button type="submit" kind="primary" disabled={busy || current === "" || next.length < MIN_PASSWORD}>
          Change the password
        </Button>
      </form>
    </Section>
  );
}
