/** People: who you are, where you are signed in, who else may what, and keys for programs. */
import { useRoute } from "preact-iso";
import type { ComponentType } from "preact";
import { Empty, PageTitle } from "../ui.tsx";
import { InvitePage } from "./people/invite.tsx";
import { KeysPage, NewKeyPage } from "./people/keys.tsx";
import { SessionsPage } from "./people/sessions.tsx";
import { UserPage } from "./people/user.tsx";
import { UsersPage } from "./people/users.tsx";
import { YouPage } from "./people/you.tsx";

const PARTS: readonly (readonly [part: string, shown: string])[] = [
  ["you", "You"],
  ["sessions", "Your sessions"],
  ["users", "Users"],
  ["keys", "API keys"],
];

/** What is at `/console/people/<address>`; a user is at `users/<id>`. */
const PAGES: Readonly<Record<string, ComponentType>> = {
  you: YouPage,
  sessions: SessionsPage,
  users: UsersPage,
  "users/new": InvitePage,
  keys: KeysPage,
  "keys/new": NewKeyPage,
};

export function PeoplePage() {
  const { params } = useRoute();
  const { part = "you", id } = params;
  const address = id === undefined ? part : `${part}/${id}`;
  const Page = PAGES[address];
  return (
    <>
      <nav class="parts" aria-label="People">
        {PARTS.map(([name, shown]) => (
          <a
            key={name}
            href={`/console/people/${name}`}
            {...(name === part ? { "aria-current": "page" as const } : {})}
          >
            {shown}
          </a>
        ))}
      </nav>
      {Page !== undefined ? (
        <Page />
      ) : part === "users" && id !== undefined ? (
        <UserPage key={id} id={id} />
      ) : (
        <>
          <PageTitle title="There is no such page" />
          <Empty title="The address leads nowhere.">
            <a href="/console/people/you">You</a>, and what else is above.
          </Empty>
        </>
      )}
    </>
  );
}
