/** Ctrl+K: pages by name, and whatever an id is the id of. */
import { useLocation } from "preact-iso";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ask } from "./api.ts";
import { FACTS } from "./platform.ts";
import { makeStore, useStore } from "./store.ts";
import { Dialog } from "./ui.tsx";

const isOpen = makeStore(false);
export const openFinder = (): void => isOpen.set(true);

interface Place {
  readonly href: string;
  readonly title: string;
  readonly more?: string;
}

const PLACES: readonly Place[] = [
  { href: "/", title: "Try", more: "send a request of each kind" },
  { href: "/console/platform", title: "Platform", more: "how all parts are" },
  ...["broker", "auth", "logger", "mail", "listener"].map((name) => ({
    href: `/console/platform/${name}`,
    title: `Service ${name}`,
    more: "its figures over time",
  })),
  { href: "/console/logs", title: "Logs", more: "ask for entries" },
  { href: "/console/logs?live=1", title: "Live logs", more: "entries as they are stored" },
  { href: "/console/logs?severity=ERROR", title: "Errors", more: "entries of severity ERROR" },
  { href: "/console/traces", title: "Traces", more: "the way of requests" },
  { href: "/console/mails", title: "Mail", more: "where mails stand" },
  { href: "/console/mails?state=ambiguous", title: "Ambiguous mails", more: "to be decided" },
  { href: "/console/templates", title: "Templates", more: "of mails, with a preview" },
  { href: "/console/events", title: "Events", more: "queues and dead letters" },
  { href: "/console/people", title: "People", more: "you, users, API keys" },
  ...(FACTS.breakable ? [{ href: "/console/break", title: "Break it", more: "and see that nothing is lost" }] : []),
];

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const TRACE = /^[0-9a-f]{32}$/i;
const SETTLE_MS = 200;

/** What an id may be, by its shape and by what the platform says of it. */
async function placesOf(id: string, signal: AbortSignal): Promise<Place[]> {
  if (TRACE.test(id)) return [{ href: `/console/traces/${id.toLowerCase()}`, title: "The trace of that id" }];
  const receipt = await ask<{ kind: string; state: string }>("GET", `/v1/receipts/${encodeURIComponent(id)}`, {
    signal,
  });
  const found: Place[] = [];
  if (receipt.ok) {
    found.push({
      href: `/console/receipts/${encodeURIComponent(id)}`,
      title: `Receipt: ${receipt.data.kind}`,
      more: receipt.data.state,
    });
    if (receipt.data.kind === "mail") found.push({ href: `/console/mails/${id}`, title: "The mail of that id" });
  }
  if (!receipt.ok || receipt.data.kind !== "mail")
    found.push({ href: `/console/logs/${encodeURIComponent(id)}`, title: "The log entry of that id" });
  return found;
}

export function Finder() {
  const shown = useStore(isOpen);
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey)
        return;
      event.preventDefault();
      isOpen.set(!isOpen.get());
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
  return shown ? <FinderDialog onClose={() => isOpen.set(false)} /> : null;
}

function FinderDialog({ onClose }: { onClose: () => void }) {
  const { route } = useLocation();
  const [text, setText] = useState("");
  const [byId, setById] = useState<readonly Place[]>([]);
  const [at, setAt] = useState(0);
  const list = useId();
  const input = useRef<HTMLInputElement>(null);
  const wanted = text.trim();

  // At once: the next key is for it.
  useLayoutEffect(() => input.current?.focus(), []);
  useEffect(() => {
    setById([]);
    if (!UUID.test(wanted) && !TRACE.test(wanted)) return undefined;
    const ended = new AbortController();
    const timer = setTimeout(
      () => void placesOf(wanted, ended.signal).then((found) => ended.signal.aborted || setById(found)),
      SETTLE_MS,
    );
    return () => {
      clearTimeout(timer);
      ended.abort();
    };
  }, [wanted]);

  const words = wanted.toLowerCase();
  const named = PLACES.filter(({ title, more = "" }) => `${title} ${more}`.toLowerCase().includes(words));
  const search: Place[] =
    wanted === "" || byId.length > 0
      ? []
      : [{ href: `/console/logs?q=${encodeURIComponent(wanted)}`, title: `Look for “${wanted}” in the logs` }];
  const places = [...byId, ...named, ...search];
  const chosen = Math.min(at, places.length - 1);

  const go = (place: Place | undefined): void => {
    if (place === undefined) return;
    onClose();
    route(place.href);
  };
  const press = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, places.length - 1));
    else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
    else if (event.key === "Enter") go(places[chosen]);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title="Find" onClose={onClose}>
      <input
        ref={input}
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls={list}
        list={undefined}
        aria-activedescendant={`${list}-${chosen}`}
        aria-label="A page, or the id of a receipt, entry, mail or trace"
        placeholder="A page, or the id of a receipt, entry, mail or trace"
        value={text}
        onInput={({ currentTarget }) => {
          setText(currentTarget.value);
          setAt(0);
        }}
        onKeyDown={press}
      />
      <ul id={list} role="listbox" aria-label="Places" class="places">
        {places.map((place, index) => (
          <li
            key={place.href}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === chosen}
            onClick={() => go(place)}
          >
            {place.title} {place.more !== undefined && <small>{place.more}</small>}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
