/** What a mail looks like: its HTML in a frame in which nothing runs, loads or leads away (browser/mail.ts), and its text. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Drawn, Letter } from "../mail.ts";
import type { Schema } from "./api.ts";
import { Code, Tabs } from "./ui.tsx";

/** px: what is higher scrolls inside, and what is nothing has a place. */
const HEIGHT_MAX = 1_200;
const HEIGHT_MIN = 96;

export function MailContent({ of: { subject, html, text } }: { of: Schema<"MailContent"> }) {
  const [view, setView] = useState<"html" | "text">("html");
  return (
    <>
      <p class="subject">
        <small>Subject</small> <strong>{subject === "" ? "(none)" : subject}</strong>
      </p>
      <Tabs
        label="Part"
        tabs={[
          ["html", "HTML"],
          ["text", "Text"],
        ]}
        chosen={view}
        onChoose={setView}
      />
      {view === "html" ? <Html html={html} /> : <Code label="Text part" text={text} />}
    </>
  );
}

function Html({ html }: { html: string }) {
  const frame = useRef<HTMLIFrameElement>(null);
  const ready = useRef(false);
  const [drawn, setDrawn] = useState<Drawn>({ height: HEIGHT_MIN, links: [], left: 0 });
  const latest = useRef(html);
  latest.current = html;
  const draw = (): void => {
    const letter: Letter = { html: latest.current };
    // Its origin is of its own, and has no name; who reads it is the one window that this frame is.
    frame.current?.contentWindow?.postMessage(letter, "*");
  };

  useEffect(() => {
    const hear = ({ source, data }: MessageEvent<Drawn>): void => {
      if (source === null || source !== frame.current?.contentWindow) return;
      if (!ready.current) {
        ready.current = true;
        draw();
        return;
      }
      setDrawn(data);
    };
    addEventListener("message", hear);
    return () => removeEventListener("message", hear);
  }, []);
  useEffect(() => {
    if (ready.current) draw();
  }, [html]);

  const { height, links, left } = drawn;
  return (
    <>
      <iframe
        ref={frame}
        class="letter"
        title="HTML part"
        sandbox="allow-scripts"
        src="/assets/mail.html"
        style={{ height: `${Math.min(Math.max(height, HEIGHT_MIN), HEIGHT_MAX)}px` }}
      />
      {left > 0 && (
        <p class="hint">
          {left === 1 ? "One image or other thing is" : `${left} images and other things are`} not in the mail itself,
          and not loaded here: whoever looks at it is not told of.
        </p>
      )}
      {links.length > 0 && (
        <details>
          <summary>Where its links lead ({links.length})</summary>
          <ul class="links">
            {links.map((link) => (
              <li key={link}>
                <code>{link}</code>
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}
