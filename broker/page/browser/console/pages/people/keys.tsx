/** API keys: one's own and those of services. A key is shown once, when it is made. */
import { useLocation, useRoute } from "preact-iso";
import { useState } from "preact/hooks";
import type { Scope } from "#contracts/scopes";
import { ask, type Schema, withQuery } from "../../api.ts";
import { change, More, type Pages, Show, useBarred, usePages } from "../../asked.tsx";
import { may, session } from "../../session.ts";
import { useStore } from "../../store.ts";
import {
  Badge,
  Button,
  ChoiceField,
  confirm,
  CopyButton,
  Dialog,
  Empty,
  MomentField,
  Notice,
  PageTitle,
  Section,
  TableBox,
  TextField,
  Time,
} from "../../ui.tsx";
import { notYours, ScopeChoice, ScopeWords } from "./scopes.tsx";

type Key = Schema<"ApiKeyView">;
type NewKey = Schema<"NewApiKey">;

const PAGE = 50;
/** How long the old key goes on beside the new one (s). */
const OVERLAPS: readonly (readonly [string, string])[] = [
  ["0", "not at all: it ends at once"],
  ["3600", "one hour"],
  ["86400", "one day"],
  ["604800", "a week"],
  ["2592000", "30 days"],
];

/** Whether it opens anything still. */
function stateOf({ revoked_at, expires_at, rotated_to }: Key): readonly ["good" | "warn" | "info", string] {
  if (revoked_at !== undefined) return ["info", "revoked"];
  if (expires_at !== undefined && Date.parse(expires_at) <= Date.now()) return ["info", "over"];
  return rotated_to === undefined ? ["good", "works"] : ["warn", "replaced, works still"];
}

const isOver = (key: Key): boolean => stateOf(key)[0] === "info";

export function KeysPage() {
  const { query } = useRoute();
  const { route } = useLocation();
  const isServices = query["service"] !== undefined;
  const pages = usePages<Key>(withQuery("/v1/api-keys", { service: query["service"], limit: PAGE }));
  return (
    <>
      <PageTitle
        title="API keys"
        lead="For programs: a key opens what a login would, within its scopes, until it is revoked or its time is over."
      >
        <a class="button primary" href="/console/people/keys/new">
          Make a key
        </a>
      </PageTitle>
      <Section
        title={isServices ? "Keys of services" : "Your keys"}
        actions={
          <ChoiceField
            inline
            label="Whose"
            value={isServices ? "*" : ""}
            onInput={(service) => route(withQuery("/console/people/keys", { service }), true)}
            options={[
              ["", "yours"],
              ["*", "those of services"],
            ]}
          />
        }
      >
        <KeyTable of={pages} what={isServices ? "the keys of services" : "your keys"} empty="There is no key yet." />
      </Section>
    </>
  );
}

export interface KeyTableProps {
  readonly of: Pages<Key>;
  readonly what: string;
  readonly empty: string;
}

export function KeyTable({ of, what, empty }: KeyTableProps) {
  const [rotated, setRotated] = useState<Key>();
  return (
    <>
      <Show of={of} what={what}>
        {(items) =>
          items.length === 0 ? (
            <Empty title={empty}>
              A key is made <a href="/console/people/keys/new">here</a>, by whoever will use it.
            </Empty>
          ) : (
            <>
              <TableBox label={what}>
                <table>
                  <thead>
                    <tr>
                      <th>Name</th>
                      <th>State</th>
                      <th>Good for</th>
                      <th>Made</th>
                      <th>Last used</th>
                      <th>Ends</th>
                      <th>
                        <span class="unseen">Actions</span>
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((key) => (
                      <Row key={key.id} of={key} onRotate={() => setRotated(key)} onChanged={of.refresh} />
                    ))}
                  </tbody>
                </table>
              </TableBox>
              <More of={of} />
            </>
          )
        }
      </Show>
      {rotated !== undefined && (
        <Rotation
          of={rotated}
          onClose={(isDone) => {
            setRotated(undefined);
            if (isDone) of.refresh();
          }}
        />
      )}
    </>
  );
}

function Row({ of: key, onRotate, onChanged }: { of: Key; onRotate: () => void; onChanged: () => void }) {
  const { me } = useStore(session);
  const barredByRight = useBarred("keys:manage");
  const isOwn = key.user_id !== undefined && key.user_id === me?.id;
  const lacking = notYours(key.scopes);
  const [tone, state] = stateOf(key);
  const cantRotate = isOwn
    ? undefined
    : key.user_id !== undefined
      ? "Only its user can rotate this key"
      : (barredByRight ?? (lacking.length === 0 ? undefined : `You have not yourself: ${lacking.join(", ")}`));
  const revoke = async (): Promise<void> => {
    const isSure = await confirm({
      title: `Revoke the key “${key.name}”?`,
      body: "Every broker refuses it within a second, and whatever uses it stops working. It can't be undone.",
      yes: "Revoke the key",
    });
    if (!isSure) return;
    await change("DELETE", `/v1/api-keys/${key.id}`);
    onChanged();
  };
  return (
    <tr>
      <td>
        {key.name}
        <br />
        <small>
          <code>{key.prefix}…</code>
          {key.service !== undefined && ` of the service ${key.service}`}
        </small>
      </td>
      <td>
        <Badge tone={tone}>{state}</Badge>
      </td>
      <td>
        <ScopeWords scopes={key.scopes} />
      </td>
      <td>
        <Time at={key.created_at} />
      </td>
      <td>{key.last_used_at === undefined ? "never" : <Time at={key.last_used_at} how="ago" />}</td>
      <td>{key.expires_at === undefined ? "never" : <Time at={key.expires_at} />}</td>
      <td class="doing">
        {!isOver(key) && (
          <>
            {key.rotated_to === undefined && (
              <Button small barred={cantRotate} label={`Rotate ${key.name}`} onClick={onRotate}>
                Rotate
              </Button>
            )}
            <Button
              small
              kind="danger"
              barred={isOwn ? undefined : barredByRight}
              label={`Revoke ${key.name}`}
              onClick={revoke}
            >
              Revoke
            </Button>
          </>
        )}
      </td>
    </tr>
  );
}

/** The only time that a key is seen. */
function Shown({ of: { key, name } }: { of: NewKey }) {
  return (
    <Notice tone="good" title={`The key “${name}” is made`}>
      <p>It is shown only now: keep it where the program has its secrets.</p>
      <p class="secret">
        <code>{key}</code> <CopyButton text={() => key}>Copy the key</CopyButton>
      </p>
      <p>
        Send it as <code>X-Api-Key</code>.
      </p>
    </Notice>
  );
}

function Rotation({ of, onClose }: { of: Key; onClose: (isDone: boolean) => void }) {
  const [overlap, setOverlap] = useState("86400");
  const [made, setMade] = useState<NewKey>();
  const rotate = async (): Promise<void> => {
    const path = `/v1/api-keys/${of.id}/rotate`;
    const reply = await change<NewKey>("POST", path, {
      body: { overlap_s: Number(overlap) },
      done: "A new key is there",
    });
    if (reply.ok) setMade(reply.data);
  };
  return (
    <Dialog title={`Rotate “${of.name}”`} onClose={() => onClose(made !== undefined)}>
      {made === undefined ? (
        <>
          <p>A new key with the same name and rights takes its place. A key is rotated once.</p>
          <ChoiceField label="The old one goes on for" value={overlap} onInput={setOverlap} options={OVERLAPS} />
        </>
      ) : (
        <Shown of={made} />
      )}
      <div class="actions end">
        <Button onClick={() => onClose(made !== undefined)}>{made === undefined ? "Cancel" : "I have kept it"}</Button>
        {made === undefined && (
          <Button kind="primary" onClick={rotate}>
            Make the new key
          </Button>
        )}
      </div>
    </Dialog>
  );
}

export function NewKeyPage() {
  const { me } = useStore(session);
  const barredForServices = useBarred("keys:manage");
  const [name, setName] = useState("");
  const [service, setService] = useState("");
  const [scopes, setScopes] = useState<readonly Scope[]>([]);
  const [expiresAt, setExpiresAt] = useState("");
  const [problem, setProblem] = useState<string>();
  const [made, setMade] = useState<NewKey>();
  const [busy, setBusy] = useState(false);

  const make = async (): Promise<void> => {
    setBusy(true);
    const reply = await ask<NewKey>("POST", "/v1/api-keys", {
      body: {
        name,
        scopes: scopes.filter(may),
        ...(service === "" ? {} : { service }),
        ...(expiresAt === "" ? {} : { expires_at: expiresAt }),
      },
    });
    setBusy(false);
    setProblem(reply.ok ? undefined : reply.trouble.message);
    if (reply.ok) setMade(reply.data);
  };
  const all = <a href={withQuery("/console/people/keys", { service: service === "" ? undefined : "*" })}>All keys</a>;
  if (made !== undefined) {
    return (
      <div class="narrow">
        <PageTitle title="Your new key" />
        <Shown of={made} />
        <p>{all}</p>
      </div>
    );
  }
  return (
    <div class="narrow">
      <PageTitle title="Make a key" />
      {me === undefined && (
        <Notice tone="info" title="Sign in to make a key">
          <a class="button primary" href="/console/sign-in?next=/console/people/keys/new">
            Sign in
          </a>
        </Notice>
      )}
      {problem !== undefined && <Notice tone="bad" title={problem} />}
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void make();
        }}
      >
        <TextField
          label="Name"
          hint="What it is for, to tell it from others"
          autocomplete="off"
          required
          value={name}
          onInput={setName}
        />
        <ScopeChoice legend="Good for" chosen={scopes} onChoose={setScopes} />
        <MomentField
          label="Ends"
          hint="Empty: it works until it is revoked"
          value={expiresAt}
          onInput={setExpiresAt}
          error={expiresAt !== "" && Date.parse(expiresAt) <= Date.now() ? "That is over already" : undefined}
        />
        {barredForServices === undefined && (
          <TextField
            label="Of the service"
            hint="Empty: it is yours, and can do no more than you can. A service's key goes on whatever becomes of you."
            autocomplete="off"
            placeholder="billing"
            value={service}
            onInput={setService}
          />
        )}
        <div class="actions">
          <Button
            type="submit"
            kind="primary"
            disabled={busy || me === undefined || name === "" || scopes.length === 0}
          >
            Make the key
          </Button>
          {all}
        </div>
      </form>
    </div>
  );
}
