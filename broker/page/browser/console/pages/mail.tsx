import { PageTitle } from "../ui.tsx";

export function MailPage() {
  return <PageTitle title="Mail" />;
}
