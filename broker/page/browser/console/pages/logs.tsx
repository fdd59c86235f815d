import { PageTitle } from "../ui.tsx";

export function LogsPage() {
  return <PageTitle title="Logs" />;
}
