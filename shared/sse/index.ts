/** Server-sent events: their bytes, and what a slow subscriber may cost. */
export { EVENT_STREAM_HEADERS, eventBytes, makeEventReader, type ReceivedEvent } from "./format.ts";
export { eventsOf } from "./events.ts";
export { eventStream, makeOutlet, type Outlet, type OutletEntry } from "./outlet.ts";
