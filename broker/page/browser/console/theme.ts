/** Light, dark, or as the system has it; kept in this browser. */
import { useEffect, useState } from "preact/hooks";
import { makeStore, useStore } from "./store.ts";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "platform.theme";

const isTheme = (text: string | null): text is Theme => THEMES.some((theme) => theme === text);
const kept = localStorage.getItem(KEY);

export const theme = makeStore<Theme>(isTheme(kept) ? kept : "system");
apply(theme.get());

export function chooseTheme(next: Theme): void {
  localStorage.setItem(KEY, next);
  apply(next);
  theme.set(next);
}

function apply(next: Theme): void {
  if (next === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = next;
}

/** What is shown now: for what draws with colours of its own. */
export function useTheme(): "light" | "dark" {
  const chosen = useStore(theme);
  const [isDark, setDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const follow = (): void => setDark(system.matches);
    system.addEventListener("change", follow);
    return () => system.removeEventListener("change", follow);
  }, []);
  return chosen === "system" ? (isDark ? "dark" : "light") : chosen;
}
