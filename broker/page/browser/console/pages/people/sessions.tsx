/** Where somebody is signed in, and the end of it. */
import { useState } from "preact/hooks";
import { ask, type Schema } from "../../api.ts";
import { change, leave, More, type Pages, Show, usePages } from "../../asked.tsx";
import { session } from "../../session.ts";
import { useStore } from "../../store.ts";
import { Badge, Button, confirm, Empty, PageTitle, Section, TableBox, Time, toast } from "../../ui.tsx";

type Session = Schema<"SessionView">;

const PAGE = 50;
/** More than anybody has (docs/sessions.md). */
const ALL = 200;

const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/Edg(e|A|iOS)?\//, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\/|FxiOS\//, "Firefox"],
  [/Chrom(e|ium)\/|CriOS\//, "Chrome"],
  [/Safari\//, "Safari"],
];
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/CrOS/, "ChromeOS"],
  [/Linux/, "Linux"],
];

/** What a user agent calls itself, in short; what is no browser as it stands. */
function deviceOf(agent: string | undefined): string {
  if (agent === undefined || agent === "") return "unknown";
  const [browser, system] = [BROWSERS, SYSTEMS].map((all) => all.find(([pattern]) => pattern.test(agent))?.[1]);
  if (browser === undefined) return agent;
  return system === undefined ? browser : `${browser} on ${system}`;
}

export interface SessionTableProps {
  readonly of: Pages<Session>;
  readonly whose: string;
  readonly onEnd: (one: Session) => Promise<void>;
  readonly barred?: string | undefined;
}

export function SessionTable({ of, whose, onEnd, barred }: SessionTableProps) {
  return (
    <Show of={of} what={whose}>
      {(items) =>
        items.length === 0 ? (
          <Empty title="Signed in nowhere.">
            A session begins with a login, and ends when it is not used for long.
          </Empty>
        ) : (
          <>
            <TableBox label={whose}>
              <table>
                <thead>
                  <tr>
                    <th>Device</th>
                    <th>From</th>
                    <th>Began</th>
                    <th>Last used</th>
                    <th>Ends, if not used</th>
                    <th>
                      <span class="unseen">Actions</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((one) => (
                    <tr key={one.id}>
                      <td>
                        <span title={one.agent ?? ""}>{deviceOf(one.agent)}</span>{" "}
                        {one.current && <Badge tone="good">this one</Badge>}
                      </td>
                      <td>{one.address ?? "unknown"}</td>
                      <td>
                        <Time at={one.created_at} />
                      </td>
                      <td>
                        <Time at={one.used_at} how="ago" />
                      </td>
                      <td>
                        <Time at={one.expires_at} how="ago" />
                      </td>
                      <td class="doing">
                        <Button small kind="danger" barred={barred} onClick={() => onEnd(one)}>
                          {one.current ? "Sign out" : "End"}
                        </Button>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </TableBox>
            <More of={of} />
          </>
        )
      }
    </Show>
  );
}

/** @returns whether it was asked for, and done. */
export async function endSession(one: Session): Promise<boolean> {
  const isSure = await confirm({
    title: "End this session?",
    body: `${deviceOf(one.agent)} from ${one.address ?? "an unknown address"} is signed out within a second. It takes a login to begin another one.`,
    yes: "End the session",
  });
  if (!isSure) return false;
  return (await change("DELETE", `/v1/sessions/${one.id}`)).ok;
}

export function SessionsPage() {
  const { me } = useStore(session);
  const pages = usePages<Session>(`/v1/sessions?limit=${PAGE}`);
  const [progress, setProgress] = useState<readonly [done: number, of: number]>();

  const end = async (one: Session): Promise<void> => {
    if (one.current) {
      await leave();
    } else if (await endSession(one)) pages.refresh();
  };
  const endOthers = async (): Promise<void> => {
    const isSure = await confirm({
      title: "End all other sessions?",
      body: "Every other browser and device is signed out within a second; this one stays. It can't be undone.",
      yes: "End all others",
    });
    if (!isSure) return;
    const reply = await ask<Schema<"SessionPage">>("GET", `/v1/sessions?limit=${ALL}`);
    if (!reply.ok) return toast(reply.trouble.message, { tone: "bad" });
    const others = reply.data.items.filter(({ current }) => !current);
    let ended = 0;
    for (const { id } of others) {
      setProgress([ended, others.length]);
      const { ok } = await ask("DELETE", `/v1/sessions/${id}`);
      if (ok) ended += 1;
    }
    setProgress(undefined);
    const isAll = ended === others.length;
    toast(isAll ? `Ended ${ended}; this one stays` : `Ended ${ended} of ${others.length}`, {
      tone: isAll ? "good" : "warn",
    });
    pages.refresh();
  };
  const others = (pages.data ?? []).filter(({ current }) => !current).length;
  return (
    <>
      <PageTitle
        title="Your sessions"
        lead="Each login is one: a browser, a device, a program. One that you do not know: end it, and change your password."
      >
        {me !== undefined && (
          <Button kind="danger" disabled={others === 0} onClick={endOthers}>
            End all others
          </Button>
        )}
      </PageTitle>
      {progress !== undefined && (
        <p role="status">
          <label>
            Ending {progress[0] + 1} of {progress[1]} <progress value={progress[0]} max={progress[1]} />
          </label>
        </p>
      )}
      <Section title="Newest first">
        <SessionTable of={pages} whose="your sessions" onEnd={end} />
      </Section>
    </>
  );
}
