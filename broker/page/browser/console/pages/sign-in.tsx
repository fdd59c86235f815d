/** Who are you: by e-mail address and password. */
import { useLocation, useRoute } from "preact-iso";
import { useState } from "preact/hooks";
import { FACTS } from "../platform.ts";
import { session, signIn } from "../session.ts";
import { useStore } from "../store.ts";
import { Button, Notice, PageTitle, TextField, toast } from "../ui.tsx";

/** Only to a page of ours: an address in a link must not lead elsewhere. */
const nextOf = (text: string | undefined): string => (text !== undefined && /^\/(?!\/)/.test(text) ? text : "/");

export function SignInPage() {
  const { route } = useLocation();
  const { query } = useRoute();
  const { me, ended } = useStore(session);
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);
  const next = nextOf(query["next"]);

  const submit = async (): Promise<void> => {
    setBusy(true);
    const why = await signIn(email, password);
    setBusy(false);
    setProblem(why);
    if (why !== undefined) return;
    toast("Signed in");
    route(next, true);
  };
  return (
    <div class="narrow">
      <PageTitle title="Sign in" />
      {me !== undefined && <Notice tone="info" title={`You are signed in as ${me.email}`} />}
      {ended !== undefined && me === undefined && <Notice tone="warn" title={`Your session has ended: ${ended}`} />}
      {problem !== undefined && <Notice tone="bad" title={problem} />}
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <TextField
          label="E-mail address"
          type="email"
          autocomplete="username"
          required
          value={email}
          onInput={setEmail}
        />
        <TextField
          label="Password"
          type="password"
          autocomplete="current-password"
          required
          value={password}
          onInput={setPassword}
        />
        <div class="actions">
          <Button type="submit" kind="primary" disabled={busy}>
            Sign in
          </Button>
          <a href="/reset-password">Forgotten password</a>
        </div>
      </form>
      {FACTS.environment === "development" && (
        <p class="hint">
          The development user is <code>admin@example.com</code> with the password <code>verysecret</code>.
        </p>
      )}
    </div>
  );
}
