/** Requests without a pause, on connections that are kept and on new ones, until told to stop; tells of each 50. */
declare const self: Worker;

const stop = new AbortController();
let done = 0;
const failures: string[] = [];

async function ask(url: string, ca: string, keepalive: boolean): Promise<void> {
  while (!stop.signal.aborted) {
    try {
      const answer = await fetch(`${url}/echo/1`, {
        method: "POST",
        body: '{"x":1}',
        headers: { "content-type": "application/json" },
        keepalive,
        tls: { ca },
      });
      const text = await answer.text();
      if (answer.status !== 202) failures.push(`${answer.status} ${text}`);
    } catch (error) {
      failures.push(String(error));
    }
    done += 1;
    if (done % 50 === 0) self.postMessage({ done, failures }, []);
  }
}

self.addEventListener("message", ({ data }: MessageEvent<"stop" | { url: string; ca: string }>) => {
  if (data === "stop") {
    stop.abort();
    return;
  }
  const { url, ca } = data;
  void Promise.all(Array.from({ length: 8 }, (_, index) => ask(url, ca, index % 2 === 0))).then(() =>
    self.postMessage({ done, failures }, []),
  );
});
