/** Who are you: by e-mail address and password. */
import { useLocation, useRoute } from "preact-iso";
import { useEffect, useRef, useState } from "preact/hooks";
import { FACTS } from "../platform.ts";
import { session, signIn, type SignInTrouble, signOut } from "../session.ts";
import { useStore } from "../store.ts";
import { Button, Notice, PageTitle, TextField, toast } from "../ui.tsx";

/** Only to a page of the console: an address in a link must not lead elsewhere. */
function nextOf(text: string | undefined): string {
  if (text === undefined || !URL.canParse(text, location.origin)) return "/";
  const { origin, pathname, search } = new URL(text, location.origin);
  const isOurs = origin === location.origin && /^\/$|^\/console(\/|$)/.test(pathname);
  return isOurs && pathname !== "/console/sign-in" ? pathname + search : "/";
}

/** Seconds until a moment (epoch, ms), counted down to 0. */
function useCountdown(until: number): number {
  const [now, setNow] = useState(Date.now());
  const left = Math.max(0, Math.ceil((until - now) / 1_000));
  useEffect(() => {
    setNow(Date.now());
    if (until <= Date.now()) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [until, left === 0]);
  return left;
}

export function SignInPage() {
  const { route } = useLocation();
  const { query } = useRoute();
  const { me } = useStore(session);
  const next = nextOf(query["next"]);
  return (
    <div class="narrow">
      <PageTitle title="Sign in" />
      {me === undefined ? (
        <SignInForm onDone={() => route(next, true)} />
      ) : (
        <Notice tone="info" title={`You are signed in as ${me.email}`}>
          <div class="actions">
            <a class="button primary" href={next}>
              Go on
            </a>
            <Button
              onClick={async () => {
                await signOut();
              }}
            >
              Sign in as somebody else
            </Button>
          </div>
        </Notice>
      )}
    </div>
  );
}

function SignInForm({ onDone }: { onDone: () => void }) {
  const { ended } = useStore(session);
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [trouble, setTrouble] = useState<SignInTrouble>();
  const [busy, setBusy] = useState(false);
  const [until, setUntil] = useState(0);
  const form = useRef<HTMLFormElement>(null);
  const left = useCountdown(until);

  const submit = async (): Promise<void> => {
    setBusy(true);
    const why = await signIn(email, password);
    setBusy(false);
    setTrouble(why);
    if (why === undefined) {
      toast("Signed in");
      return onDone();
    }
    if (why.status === 429) setUntil(Date.now() + (why.retryAfterS ?? 1) * 1_000);
    if (why.status === 401) form.current?.querySelector<HTMLInputElement>("input[type=password]")?.select();
  };
  return (
    <>
      {ended !== undefined && trouble === undefined && (
        <Notice tone="warn" title={`Your session has ended: ${ended}`} />
      )}
      {trouble !== undefined && <Why trouble={trouble} isOver={left === 0} />}
      <form
        ref={form}
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          if (left === 0) void submit();
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
          error={trouble?.status === 401 ? "The address or the password is wrong" : undefined}
          value={password}
          onInput={setPassword}
        />
        <div class="actions">
          <Button type="submit" kind="primary" disabled={busy || left > 0}>
            {left > 0 ? `Sign in (in ${left} s)` : "Sign in"}
          </Button>
          <a href="/reset-password">Forgotten password</a>
        </div>
      </form>
      {FACTS.environment === "development" && (
        <p class="hint">
          The development user is <code>admin@example.com</code> with the password <code>verysecret</code>.
        </p>
      )}
    </>
  );
}

/** @param isOver nobody has to wait any more. */
function Why({ trouble: { status, message }, isOver }: { trouble: SignInTrouble; isOver: boolean }) {
  switch (status) {
    case 401:
      return (
        <Notice tone="bad" title="That was not right">
          <p>Is it the address that you registered with? Look at Caps Lock and the language of the keyboard, too.</p>
        </Notice>
      );
    case 429:
      return isOver ? (
        <Notice tone="info" title="You can try again now" />
      ) : (
        <Notice tone="warn" title="Too many attempts">
          <p>
            There were too many wrong ones, by you or by somebody else. Nobody is locked out for ever: wait a little.
          </p>
        </Notice>
      );
    case 0:
      return (
        <Notice tone="bad" title="The broker does not answer">
          <p>Is the platform running, and the network there?</p>
        </Notice>
      );
    case 502:
    case 503:
    case 504:
      return (
        <Notice tone="bad" title="Nobody can sign in just now">
          <p>The part that knows the passwords is away. Whoever is signed in stays so; try again in a moment.</p>
        </Notice>
      );
    default:
      return <Notice tone="bad" title={message} />;
  }
}
