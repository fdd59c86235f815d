/** Mails by state, and addresses that get none. */
import { useLocation, useRoute } from "preact-iso";
import { useState } from "preact/hooks";
import { type Schema, withQuery } from "../api.ts";
import { change, More, Show, useAsked, useBarred, usePages } from "../asked.tsx";
import { type MailView, replyText, StateBadge, STATES } from "../mail-states.tsx";
import {
  Button,
  ChoiceField,
  confirm,
  Empty,
  figure,
  MomentField,
  PageTitle,
  Section,
  SettledField,
  TableBox,
  Tabs,
  TextField,
  Time,
} from "../ui.tsx";

const PAGE = 50;
const FIGURES_MS = 5_000;

type Suppression = Schema<"Suppression">;

export function MailsPage() {
  const { query } = useRoute();
  return (
    <>
      <PageTitle title="Mail" lead="Every mail that was accepted, whom it was for, and what became of it.">
        <a class="button" href="/console/templates">
          Templates
        </a>
        {query["view"] === "suppressions" ? (
          <a class="button" href="/console/mails">
            All mails
          </a>
        ) : (
          <a class="button" href="/console/mails?view=suppressions">
            Who gets no mail
          </a>
        )}
      </PageTitle>
      {query["view"] === "suppressions" ? <Suppressions /> : <Mails />}
    </>
  );
}

function Mails() {
  const { route } = useLocation();
  const { query } = useRoute();
  const filter = {
    state: query["state"],
    to: query["to"],
    from: query["from"],
    template: query["template"],
    since: query["since"],
  };
  const set = (name: keyof typeof filter, value: string): void =>
    route(withQuery("/console/mails", { ...filter, [name]: value }), true);
  const pages = usePages<MailView>(withQuery("/v1/mails", { ...filter, limit: PAGE }));
  return (
    <>
      <Section title="Which">
        <div class="filters">
          <SettledField label="To" type="search" value={filter.to ?? ""} onInput={(value) => set("to", value.trim())} />
          <SettledField
            label="From"
            type="search"
            value={filter.from ?? ""}
            onInput={(value) => set("from", value.trim())}
          />
          <TemplateField value={filter.template ?? ""} onInput={(value) => set("template", value)} />
          <MomentField label="Accepted since" value={filter.since ?? ""} onInput={(value) => set("since", value)} />
        </div>
        <StateTabs chosen={filter.state ?? ""} onChoose={(state) => set("state", state)} />
      </Section>
      <Section title="Newest first" actions={<Button onClick={pages.refresh}>Look again</Button>}>
        <Show of={pages} what="the mails">
          {(mails) =>
            mails.length === 0 ? (
              <Empty title="No mail fits.">
                Send one on <a href="/">Try</a>
                {Object.values(filter).some(Boolean) && (
                  <>
                    , or look at <a href="/console/mails">all of them</a>
                  </>
                )}
                .
              </Empty>
            ) : (
              <>
                <MailTable mails={mails} />
                <More of={pages} />
              </>
            )
          }
        </Show>
      </Section>
    </>
  );
}

/** With how many there are of the states that are not the last one, as the platform's figures know. */
function StateTabs({ chosen, onChoose }: { chosen: string; onChoose: (state: string) => void }) {
  const figures = useAsked<Schema<"PlatformFigures">>("/v1/platform/figures", { everyMs: FIGURES_MS });
  const values = figures.data?.parts.find(({ name }) => name === "mail")?.values ?? {};
  const shown = (state: string): string => {
    const count = values[`outbox.${state}`] ?? 0;
    return count === 0 ? state : `${state} ${figure(count)}`;
  };
  return (
    <Tabs
      label="State"
      tabs={[["", "any state"], ...STATES.map((state) => [state, shown(state)] as const)]}
      chosen={chosen}
      onChoose={onChoose}
    />
  );
}

function TemplateField({ value, onInput }: { value: string; onInput: (value: string) => void }) {
  const { data } = useAsked<Schema<"TemplateList">>("/v1/templates");
  const names = new Set([...(data?.items ?? []).map(({ name }) => name), ...(value === "" ? [] : [value])]);
  return (
    <ChoiceField
      label="Made from the template"
      value={value}
      onInput={onInput}
      options={[["", "any, or none"], ...[...names].map((name) => [name, name] as const)]}
    />
  );
}

function MailTable({ mails }: { mails: readonly MailView[] }) {
  return (
    <TableBox label="Mails">
      <table>
        <thead>
          <tr>
            <th>Accepted</th>
            <th>State</th>
            <th>Subject</th>
            <th>To</th>
            <th>From</th>
            <th class="number">Attempts</th>
            <th>Last answer</th>
          </tr>
        </thead>
        <tbody>
          {mails.map(({ id, created_at, state, subject, to, from, recipients, attempts, reply }) => (
            <tr key={id}>
              <td>
                <Time at={created_at} />
              </td>
              <td>
                <StateBadge state={state} />
              </td>
              <td class="wide">
                <a href={`/console/mails/${id}`}>{subject === "" ? "(no subject)" : subject}</a>
              </td>
              <td>
                {to}
                {recipients.length > 1 && <small> and {recipients.length - 1} more</small>}
              </td>
              <td>{from}</td>
              <td class="number">{attempts}</td>
              <td class="wide">
                <small>{replyText(reply)}</small>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </TableBox>
  );
}

function Suppressions() {
  const { route } = useLocation();
  const { query } = useRoute();
  const address = query["address"];
  const pages = usePages<Suppression>(withQuery("/v1/suppressions", { address, limit: PAGE }));
  const barred = useBarred("mails:manage");
  const add = async (body: Pick<Suppression, "address"> & Partial<Suppression>): Promise<boolean> => {
    const done = `No more mail to ${body.address}${body.list === undefined ? "" : ` of ${body.list}`}`;
    const { ok } = await change("POST", "/v1/suppressions", { body, done });
    pages.refresh();
    return ok;
  };
  const remove = async ({ address: whose, list, reason }: Suppression): Promise<void> => {
    const wanted = await confirm({
      title: `Send mail to ${whose} again?`,
      body: list === undefined ? "Mails of every kind go there again." : `Mails of the list ${list} go there again.`,
      yes: "Send again",
      danger: false,
    });
    if (!wanted) return;
    const again = { address: whose, reason: reason.slice(0, 200), ...(list === undefined ? {} : { list }) };
    await change("DELETE", withQuery(`/v1/suppressions/${encodeURIComponent(whose)}`, { list }), {
      done: `${whose} gets mail again`,
      undo: async () => void (await add(again)),
    });
    pages.refresh();
  };
  return (
    <>
      <Section title="No more mail to">
        <AddForm barred={barred} onAdd={add} />
      </Section>
      <Section title="Who gets no mail">
        <div class="filters">
          <SettledField
            label="Address"
            type="search"
            value={address ?? ""}
            onInput={(value) =>
              route(withQuery("/console/mails", { view: "suppressions", address: value.trim() }), true)
            }
          />
        </div>
        <Show of={pages} what="the addresses">
          {(items) =>
            items.length === 0 ? (
              <Empty
                title={address === undefined || address === "" ? "Everybody gets mail." : "This address gets mail."}
              >
                Addresses come here by a bounce, by the link in a mail of a list, or by hand.
              </Empty>
            ) : (
              <>
                <TableBox label="Addresses that get no mail">
                  <table>
                    <thead>
                      <tr>
                        <th>Address</th>
                        <th>Of</th>
                        <th>Why</th>
                        <th>Since</th>
                        <th>
                          <span class="unseen">What can be done</span>
                        </th>
                      </tr>
                    </thead>
                    <tbody>
                      {items.map((one) => (
                        <tr key={`${one.address} ${one.list}`}>
                          <td>{one.address}</td>
                          <td>{one.list === undefined ? "all mail" : `the list ${one.list}`}</td>
                          <td class="wide">{one.reason}</td>
                          <td>
                            <Time at={one.created_at} />
                          </td>
                          <td>
                            <Button
                              small
                              barred={barred}
                              label={`Send again to ${one.address}`}
                              onClick={() => remove(one)}
                            >
                              Send again
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

function AddForm({
  barred,
  onAdd,
}: {
  barred: string | undefined;
  onAdd: (one: { address: string; list?: string; reason?: string }) => Promise<boolean>;
}) {
  const [address, setAddress] = useState("");
  const [list, setList] = useState("");
  const [reason, setReason] = useState("");
  const add = async (): Promise<void> => {
    const isAdded = await onAdd({
      address: address.trim(),
      ...(list === "" ? {} : { list }),
      ...(reason === "" ? {} : { reason }),
    });
    if (isAdded) for (const empty of [setAddress, setList, setReason]) empty("");
  };
  return (
    <form
      class="add"
      onSubmit={(event) => {
        event.preventDefault();
        void add();
      }}
    >
      <div class="filters">
        <TextField label="Its address" type="email" required value={address} onInput={setAddress} />
        <TextField label="Only of the list" hint="Empty: all mail" value={list} onInput={setList} />
        <TextField label="Why" value={reason} onInput={setReason} />
      </div>
      <Button type="submit" barred={barred}>
        Send no more mail
      </Button>
    </form>
  );
}
