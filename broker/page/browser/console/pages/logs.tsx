/** The log: asked by what is in the address, counted over time, and followed as it is stored. */
import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";
import { type LogQuery, queryOf, searchOf } from "../log-query.ts";
import { Button, PageTitle } from "../ui.tsx";
import { AskedEntries } from "./logs/asked.tsx";
import { Filters } from "./logs/filters.tsx";
import { FollowedEntries } from "./logs/followed.tsx";
import { Saved } from "./logs/saved.tsx";

/** Names that are offered (most). */
const NAMES_MAX = 100;

export function LogsPage() {
  const { url, route } = useLocation();
  const given = new URLSearchParams(url.split("?")[1] ?? "");
  const isLive = given.get("live") === "1";
  const query = queryOf(given.toString());
  const search = searchOf(query);
  const [names, setNames] = useState<readonly string[]>([]);
  const go = (next: LogQuery, live: boolean): void => {
    const to = [searchOf(next), live ? "live=1" : ""].filter(Boolean).join("&");
    route(to === "" ? "/console/logs" : `/console/logs?${to}`);
  };
  const change = (next: LogQuery): void => go(next, isLive);
  const learn = (more: readonly string[]): void =>
    setNames((before) =>
      more.every((name) => before.includes(name)) ? before : [...new Set([...more, ...before])].slice(0, NAMES_MAX),
    );
  return (
    <>
      <PageTitle title="Logs" lead="Everything that was stored: asked by what you know of it, or followed as it comes.">
        <Button pressed={isLive} onClick={() => go(query, !isLive)}>
          Live
        </Button>
      </PageTitle>
      <Filters query={query} names={names} isLive={isLive} onChange={change} />
      <Saved search={search} />
      {isLive ? (
        <FollowedEntries key={search} query={query} />
      ) : (
        <AskedEntries key={search} query={query} onChange={change} onNames={learn} />
      )}
    </>
  );
}
