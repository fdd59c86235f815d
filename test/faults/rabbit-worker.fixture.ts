/** The listener's worker thread, which also fails in the way that it is told to. */

export type Failing = "throw" | "reject" | "spin";
/** Told by the test; the listener's own messages have other shapes. */
export interface Command {
  readonly type: "fail";
  readonly how: Failing;
}

declare const self: Worker;

// What the worker is told before it has loaded waits: a thread's messages are handed out after its first module.
await import("../../listener/worker.ts");

self.addEventListener("message", ({ data }: MessageEvent<Command>) => {
  if (data.type !== "fail") return;
  if (data.how === "throw") throw new Error("a worker that throws");
  if (data.how === "reject") void Promise.reject(new Error("a worker with an unhandled rejection"));
  else for (;;);
});
