/** What fits, as it is stored. */
import { useEffect, useState } from "preact/hooks";
import { TroubleNotice } from "../../asked.tsx";
import { Entries } from "../../entries.tsx";
import { type Live, type Note, useLive } from "../../live.ts";
import { KEPT } from "../../live-entries.ts";
import { followedOf, type LogQuery, searchOf } from "../../log-query.ts";
import { Badge, Button, durationOf, Empty, figure, Notice, Section, Time } from "../../ui.tsx";

/** As many are drawn while they come; of those that are kept more only where it is asked for. */
const DRAWN = 100;

export function FollowedEntries({ query }: { query: LogQuery }) {
  const [held, setHeld] = useState(false);
  const [drawn, setDrawn] = useState(DRAWN);
  const followed = followedOf(query).toString();
  const live = useLive(`/v1/logs/tail${followed === "" ? "" : `?${followed}`}`, held);
  const { shown, count, waiting, dropped, notes, missing, state, clear } = live;
  useEffect(() => setDrawn(DRAWN), [held]);
  return (
    <Section
      title="As they are stored"
      actions={
        <>
          <span role="status">
            <State of={live} held={held} />
          </span>
          {held && waiting > 0 && <Badge tone="warn">{`${figure(waiting)} more`}</Badge>}
          <Button small pressed={held} onClick={() => setHeld(!held)}>
            Hold
          </Button>
          <Button small onClick={clear}>
            Clear
          </Button>
        </>
      }
    >
      <Broken of={live} />
      {missing > 0 && (
        <Notice tone="warn" title={`${missing === 1 ? "One logger" : `${missing} loggers`} can't be followed`}>
          What is stored there is not seen here until it is followed again.
        </Notice>
      )}
      {notes.map((note) => (
        <NoteLine key={note.id} of={note} query={query} />
      ))}
      {dropped > 0 && (
        <p class="hint warn">{figure(dropped)} more than can be shown were left out here. The log has them all.</p>
      )}
      {shown.length === 0 ? (
        state === "live" && (
          <Empty title="Nothing has come yet.">
            <a href="/">Send something</a> in another tab, and it is here.
          </Empty>
        )
      ) : (
        <>
          <Entries items={shown.slice(0, drawn)} isNew={!held} />
          {count > drawn && (
            <p class="hint">
              The newest {Math.min(drawn, shown.length)} of {figure(count)}. The newest {figure(KEPT)} are kept: hold to
              look at them. Older ones are in the log.
            </p>
          )}
          {held && drawn < shown.length && (
            <p class="more">
              <Button onClick={() => setDrawn(drawn + DRAWN)}>Show {DRAWN} more</Button>
            </p>
          )}
        </>
      )}
    </Section>
  );
}

function State({ of: { state, trouble }, held }: { of: Live; held: boolean }) {
  if (state === "connecting") return <Badge tone="info">connecting</Badge>;
  if (state === "live") return <Badge tone={held ? "warn" : "good"}>{held ? "held" : "live"}</Badge>;
  return <Badge tone="bad">{trouble?.kind === "offline" ? "broken off" : "not followed"}</Badge>;
}

function Broken({ of: { trouble, againInMs } }: { of: Live }) {
  if (trouble === undefined) return null;
  if (trouble.status === 422)
    return (
      <Notice tone="warn" title="This can't be followed">
        {trouble.message}
      </Notice>
    );
  if (againInMs === undefined) return <TroubleNotice trouble={trouble} what="the log" />;
  return (
    <Notice tone="warn" title="It is connected again by itself">
      {trouble.message}; tried again in {durationOf(againInMs)}. What is stored meanwhile is told then.
    </Notice>
  );
}

function NoteLine({ of: { text, between }, query }: { of: Note; query: LogQuery }) {
  return (
    <p class="hint warn">
      {text}
      {between !== undefined && (
        <>
          , stored between <Time at={between.from} how="clock" /> and <Time at={between.to} how="clock" />.{" "}
          <a href={`/console/logs?${searchOf({ ...query, last: undefined, ...between })}`}>Ask for them</a>
        </>
      )}
    </p>
  );
}
