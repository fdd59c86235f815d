/** The console: what is on every page, and which page is at which address. */
import { LocationProvider, Route, Router, useLocation } from "preact-iso";
import type { Schema } from "./api.ts";
import { leave, useAsked } from "./asked.tsx";
import { Finder, openFinder } from "./finder.tsx";
import { BreakPage } from "./pages/break.tsx";
import { EventsPage } from "./pages/events.tsx";
import { EntryPage } from "./pages/entry.tsx";
import { LogsPage } from "./pages/logs.tsx";
import { MailPage } from "./pages/mail.tsx";
import { MailsPage } from "./pages/mails.tsx";
import { PeoplePage } from "./pages/people.tsx";
import { PlatformPage } from "./pages/platform.tsx";
import { ReceiptPage } from "./pages/receipt.tsx";
import { ServicePage } from "./pages/service.tsx";
import { SignInPage } from "./pages/sign-in.tsx";
import { TemplatesPage } from "./pages/templates.tsx";
import { TracePage, TracesPage } from "./pages/traces.tsx";
import { TryPage } from "./pages/try.tsx";
import { FACTS } from "./platform.ts";
import { session } from "./session.ts";
import { useStore } from "./store.ts";
import { chooseTheme, THEMES, theme } from "./theme.ts";
import { Button, Confirmation, Empty, PageTitle, Toasts } from "./ui.tsx";

/** Ours; everything else is the browser's to open. */
const SCOPE = /^\/(\?.*)?$|^\/console(\/|$)/;

const PAGES: readonly (readonly [href: string, shown: string])[] = [
  ["/", "Try"],
  ["/console/platform", "Platform"],
  ["/console/logs", "Logs"],
  ["/console/traces", "Traces"],
  ["/console/mails", "Mail"],
  ["/console/events", "Events"],
  ["/console/people", "People"],
  ...(FACTS.breakable ? [["/console/break", "Break it"] as const] : []),
];

export function App() {
  return (
    <LocationProvider scope={SCOPE}>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <TopBar />
      <main id="main" tabIndex={-1}>
        <Router>
          <Route path="/" component={TryPage} />
          <Route path="/console/platform" component={PlatformPage} />
          <Route path="/console/platform/:service" component={ServicePage} />
          <Route path="/console/logs" component={LogsPage} />
          <Route path="/console/logs/:id" component={EntryPage} />
          <Route path="/console/traces" component={TracesPage} />
          <Route path="/console/traces/:id" component={TracePage} />
          <Route path="/console/receipts/:id" component={ReceiptPage} />
          <Route path="/console/mails" component={MailsPage} />
          <Route path="/console/mails/:id" component={MailPage} />
          <Route path="/console/templates" component={TemplatesPage} />
          <Route path="/console/templates/:name" component={TemplatesPage} />
          <Route path="/console/events" component={EventsPage} />
          <Route path="/console/people" component={PeoplePage} />
          <Route path="/console/people/:part" component={PeoplePage} />
          <Route path="/console/people/:part/:id" component={PeoplePage} />
          <Route path="/console/sign-in" component={SignInPage} />
          <Route path="/console/break" component={BreakPage} />
          <Route path="/console/break/:id" component={BreakPage} />
          <Route default component={NothingHere} />
        </Router>
      </main>
      <Footer />
      <Finder />
      <Confirmation />
      <Toasts />
    </LocationProvider>
  );
}

function TopBar() {
  const { path } = useLocation();
  return (
    <header class="top">
      <a class="brand" href="/">
        <svg viewBox="0 0 16 16" width="20" height="20" aria-hidden="true">
          <path d="M8 1 15 5v6l-7 4-7-4V5z" fill="currentColor" />
        </svg>
        Platform
      </a>
      <nav aria-label="Pages">
        {PAGES.map(([href, shown]) => (
          <a key={href} href={href} {...(isAt(path, href) ? { "aria-current": "page" as const } : {})}>
            {shown}
          </a>
        ))}
      </nav>
      <div class="tools">
        <Health />
        <Button small onClick={openFinder}>
          Find <kbd>Ctrl K</kbd>
        </Button>
        <Who />
      </div>
    </header>
  );
}

const isAt = (path: string, href: string): boolean =>
  href === "/"
    ? path === "/"
    : path.startsWith(href) || (href === "/console/mails" && path.startsWith("/console/templates"));

const HEALTH_MS = 5_000;
const STATES = { up: 0, degraded: 1, not_ready: 2, away: 2 } as const;

/** How the platform is, in a word that leads to the sentence. */
function Health() {
  const { data, trouble } = useAsked<Schema<"HealthReport">>("/v1/health", { everyMs: HEALTH_MS });
  const worst = Math.max(0, ...(data?.services ?? []).map(({ state }) => STATES[state]));
  const [tone, text] =
    trouble?.kind === "offline"
      ? ["bad", "No answer"]
      : data === undefined
        ? ["info", "…"]
        : (
            [
              ["good", "All is well"],
              ["warn", "Degraded"],
              ["bad", "A part is away"],
            ] as const
          )[worst as 0 | 1 | 2];
  return (
    <span role="status">
      <a class={`health ${tone}`} href="/console/platform">
        <span class="dot" aria-hidden="true" />
        {text}
      </a>
    </span>
  );
}

function Who() {
  const { me } = useStore(session);
  const { url } = useLocation();
  if (me === undefined) {
    return (
      <a class="button small" href={`/console/sign-in?next=${encodeURIComponent(url)}`}>
        Sign in
      </a>
    );
  }
  const name = [me.first_name, me.last_name].filter(Boolean).join(" ") || me.email;
  return (
    <span class="who">
      <a href="/console/people" title={`${me.email}, ${me.role}`}>
        {name}
      </a>
      <Button small onClick={leave}>
        Sign out
      </Button>
    </span>
  );
}

function Footer() {
  const chosen = useStore(theme);
  return (
    <footer>
      <span>
        Platform {FACTS.version}, {FACTS.environment}
      </span>
      <nav aria-label="Links">
        {FACTS.inbox !== undefined && <a href={FACTS.inbox}>Inbox</a>}
        {FACTS.described && <a href="/openapi">API</a>}
        <a href="/ready">Readiness</a>
        {FACTS.measured && <a href="/metrics">Metrics</a>}
      </nav>
      <label class="theme">
        Theme{" "}
        <select
          value={chosen}
          onChange={({ currentTarget: { value } }) => chooseTheme(value as (typeof THEMES)[number])}
        >
          {THEMES.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
    </footer>
  );
}

function NothingHere() {
  return (
    <>
      <PageTitle title="There is no such page" />
      <Empty title="The address leads nowhere.">
        <a href="/">Try the platform</a>, or look for something by its id with <kbd>Ctrl K</kbd>.
      </Empty>
    </>
  );
}
