/** All users: found by a part of name or address, by role, by state. */
import { useLocation, useRoute } from "preact-iso";
import { type Schema, withQuery } from "../../api.ts";
import { More, Show, useBarred, usePages } from "../../asked.tsx";
import { Badge, Button, ChoiceField, Empty, PageTitle, Section, SettledField, TableBox, Time } from "../../ui.tsx";
import { ANY_ROLE } from "./scopes.tsx";
import { nameOf, setActive } from "./user.tsx";

const PAGE = 50;

export function UsersPage() {
  const { route } = useLocation();
  const { query } = useRoute();
  const { q, role, active } = query;
  const filter = { q, role, active };
  const set = (name: keyof typeof filter, value: string): void =>
    route(withQuery("/console/people/users", { ...filter, [name]: value }), true);
  const pages = usePages<Schema<"ManagedUser">>(withQuery("/v1/users", { ...filter, limit: PAGE }));
  const barred = useBarred("users:manage");
  const isFiltered = Object.values(filter).some((value) => value !== undefined);
  return (
    <>
      <PageTitle title="Users">
        {barred === undefined ? (
          <a class="button primary" href="/console/people/users/new">
            Invite somebody
          </a>
        ) : (
          <Button kind="primary" barred={barred}>
            Invite somebody
          </Button>
        )}
      </PageTitle>
      <Section title="Who">
        <div class="filters">
          <SettledField
            label="Name or address"
            type="search"
            placeholder="a part of it"
            value={q ?? ""}
            onInput={(value) => set("q", value)}
          />
          <ChoiceField label="Role" value={role ?? ""} onInput={(value) => set("role", value)} options={ANY_ROLE} />
          <ChoiceField
            label="State"
            value={active ?? ""}
            onInput={(value) => set("active", value)}
            options={[
              ["", "any"],
              ["true", "active"],
              ["false", "disabled"],
            ]}
          />
        </div>
      </Section>
      <Section title="Newest first">
        <Show of={pages} what="the users">
          {(items) =>
            items.length === 0 ? (
              <Empty title={isFiltered ? "Nobody fits." : "There is nobody yet."}>
                {isFiltered && <a href="/console/people/users">All users</a>}
              </Empty>
            ) : (
              <>
                <TableBox label="Users">
                  <table>
                    <thead>
                      <tr>
                        <th>Name</th>
                        <th>E-mail address</th>
                        <th>Role</th>
                        <th>State</th>
                        <th>Last login</th>
                        <th>
                          <span class="unseen">Actions</span>
                        </th>
                      </tr>
                    </thead>
                    <tbody>
                      {items.map((user) => (
                        <tr key={user.id}>
                          <td>
                            <a href={`/console/people/users/${user.id}`}>{nameOf(user)}</a>
                          </td>
                          <td>
                            <span class="address">{user.email}</span>{" "}
                            {!user.email_verified && <small>not verified</small>}
                          </td>
                          <td>
                            {user.role}
                            {user.extra_scopes.length > 0 && <small> and {user.extra_scopes.length} besides</small>}
                          </td>
                          <td>
                            {user.active === 1 ? (
                              <Badge tone="good">active</Badge>
                            ) : (
                              <Badge tone="warn">disabled</Badge>
                            )}
                          </td>
                          <td>{user.last_login_at === undefined ? "never" : <Time at={user.last_login_at} />}</td>
                          <td class="doing">
                            <Button
                              small
                              barred={barred}
                              label={`${user.active === 1 ? "Disable" : "Enable"} ${nameOf(user)}`}
                              onClick={() => setActive(user, user.active !== 1, pages.refresh)}
                            >
                              {user.active === 1 ? "Disable" : "Enable"}
                            </Button>
                          </td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </TableBox>
                <More of={pages} />
              </>
            )
          }
        </Show>
      </Section>
    </>
  );
}
