/** The listener's worker thread, which also fails in the way that it is told to. */
export * from "../../listener/worker.ts";

export type Failing = "throw" | "reject" | "spin";
/** Told by the test; the listener's own messages have other shapes. */
export interface Command {
  readonly type: "fail";
  readonly how: Failing;
}

declare const self: Worker;

self.addEventListener("message", ({ data }: MessageEvent<Command>) => {
  if (data.type !== "fail") return;
  if (data.how === "throw") throw new Error("a worker that throws");
  if (data.how === "reject") void Promise.reject(new Error("a worker with an unhandled rejection"));
  else for (;;);
});
