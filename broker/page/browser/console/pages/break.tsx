import { PageTitle } from "../ui.tsx";

export function BreakPage() {
  return <PageTitle title="Break it" />;
}
