/** Questions that are kept in this browser under a name. */
import { useState } from "preact/hooks";
import { forgetQuery, NAME_MAX, renameQuery, savedQueries, saveQuery } from "../../saved-queries.ts";
import { useStore } from "../../store.ts";
import { Button, Dialog, TextField, toast } from "../../ui.tsx";

/** @param search what is asked now, as the address has it. */
export function Saved({ search }: { search: string }) {
  const saved = useStore(savedQueries);
  const [name, setName] = useState("");
  const [renamed, setRenamed] = useState<string>();
  const problem = tooLong(name);
  const save = (event: Event): void => {
    event.preventDefault();
    const kept = name.trim();
    if (kept === "" || problem !== undefined) return;
    const isThere = saved.some((one) => one.name === kept);
    const undo = saveQuery({ name: kept, search });
    setName("");
    toast(isThere ? `"${kept}" asks this now` : `"${kept}" is kept in this browser`, { undo });
  };
  return (
    <details class="saved">
      <summary>Saved questions{saved.length === 0 ? "" : ` (${saved.length})`}</summary>
      {saved.length === 0 && (
        <p class="hint">Give a question a name to ask it again. Each is an address: it can be sent to others, too.</p>
      )}
      <ul class="rows">
        {saved.map((one) => (
          <li key={one.name}>
            <a
              href={one.search === "" ? "/console/logs" : `/console/logs?${one.search}`}
              {...(one.search === search ? { "aria-current": "true" as const } : {})}
            >
              {one.name}
            </a>
            <Button small kind="plain" label={`Rename ${one.name}`} onClick={() => setRenamed(one.name)}>
              Rename
            </Button>
            <Button
              small
              kind="plain"
              label={`Forget ${one.name}`}
              onClick={() => toast(`"${one.name}" is forgotten`, { undo: forgetQuery(one.name) })}
            >
              ✕
            </Button>
          </li>
        ))}
      </ul>
      <form class="filters" onSubmit={save}>
        <TextField label="Save this question as" value={name} onInput={setName} error={problem} />
        <Button type="submit" disabled={name.trim() === ""}>
          Save
        </Button>
      </form>
      {renamed !== undefined && <Rename name={renamed} onDone={() => setRenamed(undefined)} />}
    </details>
  );
}

function Rename({ name, onDone }: { name: string; onDone: () => void }) {
  const others = useStore(savedQueries).filter((one) => one.name !== name);
  const [typed, setTyped] = useState(name);
  const next = typed.trim();
  const problem = others.some((one) => one.name === next) ? "another one has this name" : tooLong(typed);
  const rename = (event: Event): void => {
    event.preventDefault();
    if (next === "" || problem !== undefined) return;
    if (next !== name) toast(`"${name}" is now "${next}"`, { undo: renameQuery(name, next) });
    onDone();
  };
  return (
    <Dialog title={`Rename "${name}"`} onClose={onDone}>
      <form onSubmit={rename}>
        <TextField label="New name" value={typed} onInput={setTyped} error={problem} />
        <div class="actions end">
          <Button onClick={onDone}>Cancel</Button>
          <Button type="submit" kind="primary" disabled={next === "" || problem !== undefined}>
            Rename
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

const tooLong = (name: string): string | undefined =>
  name.trim().length > NAME_MAX ? `at most ${NAME_MAX} characters` : undefined;
