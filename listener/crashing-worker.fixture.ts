/** worker.ts, in a thread that some bodies end when they are read, as a bug of ours or of the runtime would. */
export * from "./worker.ts";

/** The name of an event whose data says how the thread ends. */
const POISON = /^\{"name":"poison","data":"([a-z]+)/;

const spin = (): void => {
  while (Bun.nanoseconds() > 0);
};

const ends: Record<string, () => void> = {
  throw: () => {
    reportError(new Error("poison"));
    // The thread may live on after an uncaught error; here it comes to nothing more.
    spin();
  },
  reject: () => void Promise.reject(new Error("poison")),
  exit: () => process.exit(7),
  spin,
};

const parse = JSON.parse.bind(JSON);
JSON.parse = (text: string, ...rest) => {
  const how = POISON.exec(text)?.[1];
  if (how !== undefined) ends[how]?.();
  return parse(text, ...rest) as unknown;
};
