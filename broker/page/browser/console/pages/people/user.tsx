/** One user: who he is, what he may, where he is signed in, his keys, and what was done about him. */
import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";
import { ROLES, type Scope } from "#contracts/scopes";
import { type Schema, withQuery } from "../../api.ts";
import { change, Show, useAsked, useBarred, usePages } from "../../asked.tsx";
import { session } from "../../session.ts";
import { useStore } from "../../store.ts";
import { Badge, Button, ChoiceField, confirm, Empty, PageTitle, Section, TextField, Time } from "../../ui.tsx";
import { KeyTable } from "./keys.tsx";
import { isRole, notYours, ROLE_OPTIONS, ScopeChoice, ScopeList } from "./scopes.tsx";
import { endSession, SessionTable } from "./sessions.tsx";

type User = Schema<"ManagedUser">;
type Patch = Omit<Schema<"UserPatch">, "version">;

const PAGE = 20;

export const nameOf = (user: Pick<User, "first_name" | "last_name" | "email">): string =>
  [user.first_name, user.last_name].filter(Boolean).join(" ") || user.email;

const at = ({ id }: Pick<User, "id">): string => `/v1/users/${id}`;

/** As they were, of the fields that a patch changes. */
function before(user: User, patch: Patch): Patch {
  const was = { ...user, active: user.active === 1 };
  return Object.fromEntries(Object.keys(patch).map((field) => [field, was[field as keyof Patch]]));
}

/** A change that can be undone: from the version that is shown, and back from the one that came of it. */
async function changeUser(user: User, patch: Patch, done: string, onChanged: () => void): Promise<void> {
  const reply = await change<User>("PATCH", at(user), {
    body: { version: user.version, ...patch },
    done,
    undo: async () => {
      const version = reply.ok ? reply.data.version : user.version;
      const body = { version, ...before(user, patch) };
      await change("PATCH", at(user), { body, done: `${nameOf(user)} is as before` });
      onChanged();
    },
  });
  onChanged();
}

/** Disabled, nobody logs in as him, and his sessions end; the undo lets him log in again. */
export async function setActive(user: User, active: boolean, onChanged: () => void): Promise<void> {
  const name = nameOf(user);
  if (!active && user.id === session.get().me?.id) {
    const isSure = await confirm({
      title: "Disable yourself?",
      body: "You are signed out at once, and only somebody else who manages users can let you in again.",
      yes: "Disable myself",
    });
    if (!isSure) return;
  }
  const done = active ? `${name} can log in again` : `${name} is disabled: all sessions have ended`;
  await changeUser(user, { active }, done, onChanged);
}

export function UserPage({ id }: { id: string }) {
  const user = useAsked<User>(`/v1/users/${encodeURIComponent(id)}`);
  return (
    <Show of={user} what="this user">
      {(one) => <TheUser user={one} onChanged={user.refresh} />}
    </Show>
  );
}

/** Why whoever looks can't change this user. */
function useUnchangeable(user: User): string | undefined {
  const barred = useBarred("users:manage");
  const lacking = notYours(user.scopes);
  if (barred !== undefined) return barred;
  return lacking.length === 0 ? undefined : `The user may what you may not: ${lacking.join(", ")}`;
}

function TheUser({ user, onChanged }: { user: User; onChanged: () => void }) {
  const { route } = useLocation();
  const { me } = useStore(session);
  const barred = useUnchangeable(user);
  const isActive = user.active === 1;

  const remove = async (): Promise<void> => {
    const isSure = await confirm({
      title: `Delete ${nameOf(user)}?`,
      body: "The user, all sessions and all API keys are gone for good. What stays is the number in audit entries. To keep the user and let nobody in, disable instead.",
      yes: "Delete for good",
    });
    if (!isSure) return;
    const { ok } = await change("DELETE", at(user), { done: `${nameOf(user)} is deleted` });
    if (ok) route("/console/people/users");
  };
  return (
    <>
      <PageTitle title={nameOf(user)} lead={user.id === me?.id ? "This is you." : undefined}>
        <Button barred={barred} onClick={() => setActive(user, !isActive, onChanged)}>
          {isActive ? "Disable" : "Enable"}
        </Button>
        <Button kind="danger" barred={barred} onClick={remove}>
          Delete
        </Button>
      </PageTitle>
      <div class="panes">
        <div>
          <Section title="The account">
            <dl class="facts">
              <dt>E-mail address</dt>
              <dd>
                {user.email}{" "}
                {user.email_verified ? <Badge tone="good">verified</Badge> : <Badge tone="warn">not verified</Badge>}
              </dd>
              <dt>State</dt>
              <dd>{isActive ? <Badge tone="good">active</Badge> : <Badge tone="warn">disabled</Badge>}</dd>
              <dt>Role</dt>
              <dd>{user.role}</dd>
              <dt>Last login</dt>
              <dd>{user.last_login_at === undefined ? "never" : <Time at={user.last_login_at} />}</dd>
              <dt>Registered</dt>
              <dd>
                <Time at={user.created_at} />
              </dd>
              <dt>Id, version</dt>
              <dd>
                {user.id}, {user.version}
              </dd>
            </dl>
          </Section>
          <Profile key={`${user.version}`} user={user} barred={barred} onChanged={onChanged} />
          <Section title="What the user may">
            <ScopeList scopes={user.scopes} empty="Nothing that needs a right." />
          </Section>
        </div>
        <Rights key={`${user.version}`} user={user} barred={barred} onChanged={onChanged} />
      </div>
      <Sessions user={user} />
      <Keys user={user} />
      <Audit user={user} />
    </>
  );
}

interface EditProps {
  readonly user: User;
  readonly barred: string | undefined;
  readonly onChanged: () => void;
}

function Profile({ user, barred, onChanged }: EditProps) {
  const [first, setFirst] = useState(user.first_name);
  const [last, setLast] = useState(user.last_name);
  const [email, setEmail] = useState(user.email);
  const isSame = first === user.first_name && last === user.last_name && email === user.email;

  const save = async (): Promise<void> => {
    const names = { first_name: first, last_name: last };
    if (email === user.email) return changeUser(user, names, "The name is changed", onChanged);
    const isSure = await confirm({
      title: "Give the account another address?",
      body: `Whoever reads mails to ${email} can set the password. The new address has to be verified again, a mail to the old one tells of the change.`,
      yes: "Change the address",
    });
    if (!isSure) return;
    const body = { version: user.version, ...names, email };
    await change("PATCH", at(user), { body, done: "The address is changed, and a link is on its way to it" });
    onChanged();
  };
  return (
    <Section title="Name and address">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <TextField label="First name" autocomplete="off" value={first} onInput={setFirst} />
        <TextField label="Last name" autocomplete="off" value={last} onInput={setLast} />
        <TextField label="E-mail address" type="email" autocomplete="off" required value={email} onInput={setEmail} />
        <Button type="submit" kind="primary" disabled={isSame} barred={barred}>
          Save
        </Button>
      </form>
    </Section>
  );
}

function Rights({ user, barred, onChanged }: EditProps) {
  const [role, setRole] = useState(user.role);
  const [extra, setExtra] = useState<readonly Scope[]>(user.extra_scopes);
  const besides = extra.filter((scope) => !(ROLES[role] as readonly Scope[]).includes(scope));
  const isSame = role === user.role && extra.join() === user.extra_scopes.join();
  const lacking = notYours(ROLES[role]);
  const why =
    barred ?? (lacking.length === 0 ? undefined : `You can't give what you have not yourself: ${lacking.join(", ")}`);
  return (
    <Section title="Role and rights">
      <ChoiceField
        label="Role"
        hint="A name for some rights. Tokens of before count no longer; whoever is signed in stays so."
        value={role}
        onInput={(value) => isRole(value) && setRole(value)}
        options={ROLE_OPTIONS}
      />
      <ScopeChoice legend="Rights besides those of the role" chosen={extra} onChoose={setExtra} held={ROLES[role]} />
      <Button
        kind="primary"
        disabled={isSame}
        barred={why}
        onClick={() => changeUser(user, { role, extra_scopes: besides }, rightsSaid(user, role), onChanged)}
      >
        Save the rights
      </Button>
    </Section>
  );
}

const rightsSaid = (user: User, role: string): string =>
  role === user.role ? `${nameOf(user)} has other rights now` : `${nameOf(user)} is ${role} now`;

function Sessions({ user }: { user: User }) {
  const path = `${at(user)}/sessions`;
  const pages = usePages<Schema<"SessionView">>(withQuery(path, { limit: PAGE }));
  const barred = useBarred("users:manage");
  const endAll = async (): Promise<void> => {
    const isSure = await confirm({
      title: `End all sessions of ${nameOf(user)}?`,
      body: "Every browser and device is signed out within a second. It takes a login to begin another session.",
      yes: "End all sessions",
    });
    if (!isSure) return;
    await change("DELETE", path);
    pages.refresh();
  };
  return (
    <Section
      title="Sessions"
      actions={
        <Button small kind="danger" barred={barred} disabled={pages.data?.length === 0} onClick={endAll}>
          End all
        </Button>
      }
    >
      <SessionTable
        of={pages}
        whose="the sessions of this user"
        barred={barred}
        onEnd={async (one) => {
          if (await endSession(one)) pages.refresh();
        }}
      />
    </Section>
  );
}

function Keys({ user }: { user: User }) {
  const pages = usePages<Schema<"ApiKeyView">>(withQuery("/v1/api-keys", { user_id: user.id, limit: PAGE }));
  return (
    <Section title="API keys">
      <KeyTable of={pages} what="the keys of this user" empty="This user has no keys." />
    </Section>
  );
}

interface AuditData {
  readonly action?: unknown;
  readonly by?: unknown;
  readonly fields?: unknown;
  readonly role?: { readonly from?: unknown; readonly to?: unknown };
}

/** What an audit entry says, in a line. Others may have written it: all of it is text. */
function saidOf(data: unknown): readonly [what: string, by: string] {
  const { action = "?", by = "?", fields, role } = (data ?? {}) as AuditData;
  const changed = Array.isArray(fields) ? fields.join(", ") : undefined;
  const how = role === undefined ? changed : `role ${String(role.from)} → ${String(role.to)}`;
  return [how === undefined ? String(action) : `${String(action)}: ${how}`, String(by)];
}

function Audit({ user }: { user: User }) {
  const query = { name: "audit", "data.user_id": user.id };
  const found = useAsked<Schema<"LogPage">>(withQuery("/v1/logs", { ...query, limit: PAGE }));
  return (
    <Section
      title="What was done about this user"
      actions={<a href={withQuery("/console/logs", { ...query, last: "all" })}>All of it in the logs</a>}
    >
      <Show of={found} what="the audit">
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="Nothing yet." />
          ) : (
            <ul class="rows audit">
              {items.map(({ event_id, created_at, data }) => {
                const [what, by] = saidOf(data);
                return (
                  <li key={event_id}>
                    <a href={`/console/logs/${event_id}`}>
                      <Time at={created_at} />
                    </a>{" "}
                    {what} <small>by {by}</small>
                  </li>
                );
              })}
            </ul>
          )
        }
      </Show>
    </Section>
  );
}
