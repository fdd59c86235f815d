/** The platform drawn: who calls whom, how often, how long it takes, and what is open or away. A table says the same. */
import type { Schema } from "./api.ts";
import {
  backlogOf,
  type Figures,
  type Health,
  type PartName,
  PARTS,
  queuedOf,
  type PartState,
  stateOf,
  TITLES,
  titleOf,
  valueOf,
} from "./parts.ts";
import { durationOf, figure, TableBox } from "./ui.tsx";
import { MARKS } from "./words.ts";

type Edge = Schema<"EdgeFigures">;
type Place = readonly [x: number, y: number];

const WIDTH = 1_000;
const HEIGHT = 540;
const NODE: Place = [148, 66];
const PLACES: Readonly<Record<PartName | "clients", Place>> = {
  clients: [62, 270],
  broker: [300, 270],
  logger: [520, 60],
  mongodb: [916, 60],
  rabbitmq: [520, 200],
  listener: [780, 200],
  auth: [520, 350],
  postgres: [916, 390],
  mail: [520, 490],
  smtp: [916, 500],
  redis: [300, 490],
};

/** Ways that would lead through a part that stands between. */
const BENDS: Readonly<Record<string, number>> = { "mail rabbitmq": -150, "broker listener": 60 };

export interface MapProps {
  readonly health: Health | undefined;
  readonly figures: Figures | undefined;
}

/** What one part shows besides its name. */
interface Shown {
  readonly name: PartName;
  readonly state: PartState;
  readonly work: string;
  readonly waits: string;
}

/** Parts that anybody speaks of: Redis only where it is used. */
function shownOf({ health, figures }: MapProps): Shown[] {
  const spoken = new Set([
    ...(health?.services ?? []).map(({ name }) => name),
    ...(health?.backing ?? []).map(({ name }) => name),
  ]);
  return PARTS.filter((name) => name !== "redis" || spoken.has("redis")).map((name) => ({
    name,
    state: stateOf(health, name),
    work: workOf(figures, name),
    waits: waitsOf({ health, figures }, name),
  }));
}

function workOf(figures: Figures | undefined, name: PartName): string {
  const rate = valueOf(figures, name, "requests.all");
  const p95 = valueOf(figures, name, "latency.p95");
  if (rate === undefined) return "";
  return `${figure(rate)}/s${p95 === undefined ? "" : ` · ${durationOf(p95)}`}`;
}

function waitsOf({ health, figures }: MapProps, name: PartName): string {
  if (name === "rabbitmq") {
    const queued = queuedOf(figures, ["work", "retry"]) ?? 0;
    const dead = queuedOf(figures, ["dead-letters", "unrouted"]) ?? 0;
    return [queued > 0 ? `${figure(queued)} queued` : "", dead > 0 ? `${figure(dead)} dead` : ""]
      .filter(Boolean)
      .join(", ");
  }
  const backlog = backlogOf(health, name) ?? 0;
  return backlog === 0 ? "" : `${figure(backlog)} ${name === "broker" ? "spooled" : "waiting"}`;
}

export function PlatformMap(props: MapProps) {
  const shown = shownOf(props);
  const names = new Set<string>(["clients", ...shown.map(({ name }) => name)]);
  const edges = (props.figures?.edges ?? []).filter(({ from, to }) => names.has(from) && names.has(to));
  return (
    <>
      <svg
        class="map"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="group"
        aria-label="Map of the platform: the table below says the same"
      >
        <g aria-hidden="true">
          {drawn(edges).map((edge) => (
            <Way key={`${edge.from} ${edge.to} ${edge.via}`} {...edge} />
          ))}
        </g>
        <Clients />
        {shown.map((part) => (
          <Node key={part.name} {...part} />
        ))}
      </svg>
      {/* On a narrow page the map is an outline only. */}
      <details open={matchMedia("(max-width: 40rem)").matches}>
        <summary>The same as a table</summary>
        <MapTable shown={shown} edges={edges} />
      </details>
    </>
  );
}

interface Drawn extends Edge {
  /** How far it bends aside (of the map's units): two ways between the same two lie beside each other. */
  readonly bend: number;
}

function drawn(edges: readonly Edge[]): Drawn[] {
  const seen = new Map<string, number>();
  return edges.map((edge) => {
    const between = [edge.from, edge.to].toSorted().join(" ");
    const count = seen.get(between) ?? 0;
    seen.set(between, count + 1);
    return { ...edge, bend: BENDS[between] ?? (count === 0 ? 14 : -26 * count) };
  });
}

/** Where a line from one place to another leaves the box that stands there. */
function leaves([x, y]: Place, [toX, toY]: Place): Place {
  const [dx, dy] = [toX - x, toY - y];
  const [halfX, halfY] = [NODE[0] / 2 + 4, NODE[1] / 2 + 4];
  const share = Math.min(dx === 0 ? 1 : halfX / Math.abs(dx), dy === 0 ? 1 : halfY / Math.abs(dy));
  return [x + dx * share, y + dy * share];
}

const placeOf = (name: string): Place => PLACES[name as PartName] ?? PLACES.clients;

function toneOf({ breaker, up, failed_per_s }: Edge): "bad" | "warn" | "well" {
  if (breaker === "open" || up === false) return "bad";
  return breaker === "half-open" || (failed_per_s ?? 0) > 0 ? "warn" : "well";
}

function Way(edge: Drawn) {
  const { from, to, via, calls_per_s, p95_ms, breaker, up, bend } = edge;
  const [start, end] = [leaves(placeOf(from), placeOf(to)), leaves(placeOf(to), placeOf(from))];
  const length = Math.hypot(end[0] - start[0], end[1] - start[1]) || 1;
  const aside: Place = [(-(end[1] - start[1]) / length) * bend, ((end[0] - start[0]) / length) * bend];
  const middle: Place = [(start[0] + end[0]) / 2 + aside[0], (start[1] + end[1]) / 2 + aside[1]];
  const tone = toneOf(edge);
  const rate = calls_per_s ?? 0;
  const pace = rate > 50 ? "fast" : rate > 5 ? "steady" : rate > 0 ? "slow" : "still";
  const trouble =
    breaker === "open" ? "circuit open" : breaker === "half-open" ? "tries again" : up === false ? "away" : "";
  const label =
    trouble !== "" ? trouble : rate > 0 ? `${figure(rate)}/s${p95_ms === null ? "" : ` ${durationOf(p95_ms)}`}` : "";
  return (
    <g class={`way ${tone} ${pace}`}>
      <path d={`M${start.join(" ")} Q${middle.join(" ")} ${end.join(" ")}`} />
      {label !== "" && (
        <text x={(start[0] + end[0]) / 2 + aside[0] / 2} y={(start[1] + end[1]) / 2 + aside[1] / 2 - 3}>
          {via === "http" || trouble !== "" ? "" : `${via} `}
          {label}
        </text>
      )}
    </g>
  );
}

function Clients() {
  const [x, y] = PLACES.clients;
  return (
    <g class="node clients" transform={`translate(${x} ${y})`}>
      <rect x={-52} y={-24} width={104} height={48} rx={24} />
      <text class="name" y={5}>
        clients
      </text>
    </g>
  );
}

function Node({ name, state, work, waits }: Shown) {
  const [x, y] = PLACES[name];
  const [width, height] = NODE;
  const lines = [work, waits].filter(Boolean);
  const said = state.tone === "info" ? state.word : `${MARKS[state.tone]} ${state.word}`;
  return (
    <a
      class={`node ${state.tone}`}
      href={`/console/platform/${name}`}
      // What is seen, in the same order (WCAG 2.5.3).
      aria-label={[TITLES[name], said, lines.join(" · ")].filter(Boolean).join(" ")}
    >
      <g transform={`translate(${x} ${y})`}>
        <rect x={-width / 2} y={-height / 2} width={width} height={height} rx={10} />
        <text class="name" y={lines.length > 0 ? -11 : -3}>
          {TITLES[name]}
        </text>{" "}
        <text class="state" y={lines.length > 0 ? 6 : 16}>
          {said}
        </text>{" "}
        {lines.length > 0 && (
          <text class="state" y={23}>
            {lines.join(" · ")}
          </text>
        )}
      </g>
    </a>
  );
}

function MapTable({ shown, edges }: { shown: readonly Shown[]; edges: readonly Edge[] }) {
  return (
    <>
      <TableBox label="Parts">
        <table>
          <thead>
            <tr>
              <th>Part</th>
              <th>State</th>
              <th>Work</th>
              <th>Waits</th>
            </tr>
          </thead>
          <tbody>
            {shown.map(({ name, state, work, waits }) => (
              <tr key={name}>
                <th scope="row">
                  <a href={`/console/platform/${name}`}>{TITLES[name]}</a>
                </th>
                <td class={state.tone}>
                  {MARKS[state.tone]} {state.word}
                </td>
                <td>{work || "–"}</td>
                <td>{waits || "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </TableBox>
      <Ways edges={edges} />
    </>
  );
}

/** Ways between parts as a table; of one part, or of all. */
export function Ways({ edges }: { edges: readonly Edge[] }) {
  return (
    <TableBox label="Ways">
      <table>
        <thead>
          <tr>
            <th>From</th>
            <th>To</th>
            <th>By</th>
            <th class="number">Calls /s</th>
            <th class="number">Failed /s</th>
            <th class="number">p95</th>
            <th>Circuit</th>
          </tr>
        </thead>
        <tbody>
          {edges.map(({ from, to, via, calls_per_s, failed_per_s, p95_ms, breaker, up }) => (
            <tr key={`${from} ${to} ${via}`}>
              <td>{titleOf(from)}</td>
              <td>{titleOf(to)}</td>
              <td>{via}</td>
              <td class="number">{calls_per_s === null ? "–" : figure(calls_per_s)}</td>
              <td class={`number ${(failed_per_s ?? 0) > 0 ? "bad" : ""}`}>
                {failed_per_s === null ? "–" : figure(failed_per_s)}
              </td>
              <td class="number">{p95_ms === null ? "–" : durationOf(p95_ms)}</td>
              <td class={breaker === "open" || up === false ? "bad" : ""}>
                {up === false ? "away" : (breaker ?? "–")}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </TableBox>
  );
}
