/** One mail: whom it is for, every attempt, what it looks like, and what can be decided of it. */
import { useRoute } from "preact-iso";
import { type Schema } from "../api.ts";
import { change, Show, useAsked, useBarred } from "../asked.tsx";
import { MailContent } from "../letter.tsx";
import { type MailState, type MailView, MEANING, type Recipient, replyText, StateBadge } from "../mail-states.tsx";
import { Button, confirm, durationOf, figure, Notice, PageTitle, Section, TableBox, Time } from "../ui.tsx";

const EVERY_MS = 3_000;

export function MailPage() {
  const { params } = useRoute();
  const path = `/v1/mails/${encodeURIComponent(params["id"] ?? "")}`;
  const asked = useAsked<MailView>(path, { everyMs: EVERY_MS });
  const content = useAsked<Schema<"MailContent">>(`${path}/content`);
  const { data: mail } = asked;
  return (
    <>
      <PageTitle title="One mail">
        {mail?.trace_id !== undefined && (
          <a class="button" href={`/console/traces/${mail.trace_id}`}>
            Trace
          </a>
        )}
        {mail !== undefined && (
          <a class="button" href={`/console/receipts/${mail.id}`}>
            Receipt
          </a>
        )}
      </PageTitle>
      <Show of={asked} what="the mail">
        {(one) => (
          <>
            <Where mail={one} path={path} onChanged={asked.refresh} />
            <Recipients mail={one} path={path} onChanged={asked.refresh} />
            <Attempts mail={one} />
            <Section title="What it looks like">
              <Show of={content} what="its content">
                {(its) => <MailContent of={its} />}
              </Show>
              <Attachments mail={one} />
            </Section>
          </>
        )}
      </Show>
    </>
  );
}

function Where({ mail, ...rest }: DecidingProps) {
  const { id, state, from, subject, created_at, expires_at, next_attempt_at, priority, list, template } = mail;
  return (
    <Section title={subject === "" ? "(no subject)" : subject} actions={<Actions mail={mail} {...rest} />}>
      <Ambiguous mail={mail} {...rest} />
      <p role="status">
        <StateBadge state={state} /> {MEANING[state]}
      </p>
      <dl class="facts">
        <dt>From</dt>
        <dd>{from}</dd>
        <dt>Accepted</dt>
        <dd>
          <Time at={created_at} how="instant" />
        </dd>
        {next_attempt_at !== undefined && (
          <>
            <dt>Next attempt</dt>
            <dd>
              <Time at={next_attempt_at} how="instant" />; given up <Time at={expires_at} how="ago" />
            </dd>
          </>
        )}
        <dt>Priority</dt>
        <dd>{priority}</dd>
        {list !== undefined && (
          <>
            <dt>List</dt>
            <dd>{list}</dd>
          </>
        )}
        {template !== undefined && (
          <>
            <dt>Template</dt>
            <dd>
              <a href={`/console/templates/${template.name}?version=${template.version}&locale=${template.locale}`}>
                {template.name}
              </a>{" "}
              version {template.version}, {template.locale}
            </dd>
          </>
        )}
        <dt>Id</dt>
        <dd>
          <code>{id}</code>
        </dd>
      </dl>
    </Section>
  );
}

interface DecidingProps {
  readonly mail: MailView;
  /** Of the mail in the API. */
  readonly path: string;
  readonly onChanged: () => void;
}

type Deed = "sent" | "failed" | "resend" | "cancel";

interface DeedFacts {
  readonly from: readonly MailState[];
  /** On the button. */
  readonly name: string;
  readonly title: (whom: string) => string;
  /** What will be so afterwards. */
  readonly means: string;
  readonly yes: string;
  readonly done: string;
  readonly danger?: true;
}

const DEEDS: Readonly<Record<Deed, DeedFacts>> = {
  sent: {
    from: ["ambiguous"],
    name: "It was delivered",
    title: (whom) => `Was it delivered to ${whom}?`,
    means:
      "It counts as sent from now on, and nothing is sent. Decide so where the recipient, or the mail server's log, says that it has come.",
    yes: "It was delivered",
    done: "It counts as sent",
  },
  failed: {
    from: ["ambiguous"],
    name: "It was not",
    title: (whom) => `Was it not delivered to ${whom}?`,
    means: "It counts as failed from now on, and nothing is sent. It can still be sent again later.",
    yes: "It was not delivered",
    done: "It counts as failed",
  },
  resend: {
    from: ["ambiguous", "failed", "expired", "bounced", "cancelled"],
    name: "Send again",
    title: (whom) => `Send it again to ${whom}?`,
    means: "It begins anew, with its attempts at zero, and goes out as soon as the mail server takes it.",
    yes: "Send again",
    done: "It is on its way again",
  },
  cancel: {
    from: ["queued", "deferred"],
    name: "Cancel",
    title: (whom) => `Take it back from ${whom}?`,
    means: "It is not sent. It can be sent again later.",
    yes: "Cancel the mail",
    done: "It is cancelled",
    danger: true,
  },
};

/** Those recipients whom a deed can be for. */
const whomOf = ({ recipients }: MailView, deed: Deed, only?: Recipient): readonly Recipient[] =>
  (only === undefined ? recipients : [only]).filter(({ state }) => DEEDS[deed].from.includes(state));

const named = (whom: readonly Recipient[]): string =>
  whom.length === 1 ? (whom[0]?.address ?? "") : `${whom.length} recipients`;

async function decide({ mail, path, onChanged }: DecidingProps, deed: Deed, only?: Recipient): Promise<void> {
  const whom = whomOf(mail, deed, only);
  const { title, means, yes, done, danger } = DEEDS[deed];
  const mayBeTwice = deed === "resend" && whom.some(({ state }) => state === "ambiguous");
  const body = (
    <>
      <p>{means}</p>
      {mayBeTwice && <p>It may arrive twice: the mail server may have taken it the first time.</p>}
    </>
  );
  if (!(await confirm({ title: title(named(whom)), body, yes, danger: danger ?? mayBeTwice }))) return;
  const to = only === undefined ? {} : { to: only.address };
  await change("POST", deed === "cancel" ? `${path}/cancel` : `${path}/resolve`, {
    body: deed === "cancel" ? to : { as: deed, ...to },
    done,
  });
  onChanged();
}

function Actions(props: DecidingProps) {
  const barred = useBarred("mails:manage");
  // What is ambiguous is decided beside the words that say what that is.
  const isAmbiguous = whomOf(props.mail, "sent").length > 0;
  const deeds = (["resend", "cancel"] as const).filter(
    (deed) => whomOf(props.mail, deed).length > 0 && !(deed === "resend" && isAmbiguous),
  );
  return (
    <>
      {deeds.map((deed) => (
        <Button key={deed} barred={barred} onClick={() => decide(props, deed)}>
          {DEEDS[deed].name}
        </Button>
      ))}
    </>
  );
}

function Ambiguous(props: DecidingProps) {
  const barred = useBarred("mails:manage");
  const whom = whomOf(props.mail, "sent");
  if (whom.length === 0) return null;
  return (
    <Notice tone="warn" title={`Nobody knows whether ${named(whom)} got it`}>
      <p>
        The mail server was given the whole mail, and then said nothing more. It is not sent again by itself, so that
        nobody gets it twice. Find out, and decide:
      </p>
      <div class="actions">
        {(["sent", "failed", "resend"] as const).map((deed) => (
          <Button key={deed} barred={barred} onClick={() => decide(props, deed)}>
            {DEEDS[deed].name}
          </Button>
        ))}
      </div>
    </Notice>
  );
}

function Recipients(props: DecidingProps) {
  const barred = useBarred("mails:manage");
  const { mail } = props;
  const several = mail.recipients.length > 1;
  return (
    <Section title={several ? `Recipients (${mail.recipients.length})` : "Recipient"}>
      <TableBox label="Recipients">
        <table>
          <thead>
            <tr>
              <th>Address</th>
              <th>As</th>
              <th>State</th>
              <th class="number">Attempts</th>
              <th>Since</th>
              <th>Last answer</th>
              {several && (
                <th>
                  <span class="unseen">What can be done</span>
                </th>
              )}
            </tr>
          </thead>
          <tbody>
            {mail.recipients.map((one) => (
              <tr key={one.address}>
                <td>{one.address}</td>
                <td>{one.kind}</td>
                <td>
                  <StateBadge state={one.state} />
                </td>
                <td class="number">{one.attempts}</td>
                <td>
                  <Time at={one.updated_at} />
                </td>
                <td class="wide">
                  <small>{replyText(one.reply)}</small>
                </td>
                {several && (
                  <td>
                    <div class="actions">
                      {(["sent", "failed", "resend", "cancel"] as const)
                        .filter((deed) => whomOf(mail, deed, one).length > 0)
                        .map((deed) => (
                          <Button
                            key={deed}
                            small
                            barred={barred}
                            label={`${DEEDS[deed].name}: ${one.address}`}
                            onClick={() => decide(props, deed, one)}
                          >
                            {DEEDS[deed].name}
                          </Button>
                        ))}
                    </div>
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </TableBox>
    </Section>
  );
}

function Attempts({ mail: { recipients } }: { mail: MailView }) {
  const all = recipients
    .flatMap(({ address, history = [] }) => history.map((one) => ({ ...one, address })))
    .sort((a, b) => a.at.localeCompare(b.at));
  return (
    <Section title="What has happened">
      {all.length === 0 ? (
        <p class="hint">Nothing yet: no attempt has ended.</p>
      ) : (
        <TableBox label="Attempts">
          <table>
            <thead>
              <tr>
                <th>When</th>
                {recipients.length > 1 && <th>To</th>}
                <th>Outcome</th>
                <th>Answer of the mail server</th>
                <th class="number">Took</th>
              </tr>
            </thead>
            <tbody>
              {all.map(({ at, address, outcome, reply, took_ms }, index) => (
                <tr key={`${at}${address}${index}`}>
                  <td>
                    <Time at={at} how="instant" />
                  </td>
                  {recipients.length > 1 && <td>{address}</td>}
                  <td>{outcome}</td>
                  <td class="wide">{replyText(reply)}</td>
                  <td class="number">{took_ms === undefined ? "" : durationOf(took_ms)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </TableBox>
      )}
    </Section>
  );
}

function Attachments({ mail: { attachments = [] } }: { mail: MailView }) {
  if (attachments.length === 0) return null;
  return (
    <>
      <h3>Attachments</h3>
      <ul class="links">
        {attachments.map(({ filename, content_type, bytes }, index) => (
          <li key={`${filename}${index}`}>
            {filename} <small>{`${content_type}, ${figure(bytes)} bytes`}</small>
          </li>
        ))}
      </ul>
    </>
  );
}
