/** Types of the API. Made by `bun run client` from its description: do not edit. */

export interface components {
  schemas: {
    AddressRequest: { email: string };
    ApiKeyPage: { items: (components["schemas"]["ApiKeyView"])[]; next_cursor?: string };
    ApiKeyRequest: { name: string; service?: string; scopes: (("logs:write") | ("logs:read") | ("mails:send") | ("mails:read") | ("mails:manage") | ("events:read") | ("events:manage") | ("platform:read") | ("platform:manage") | ("users:read") | ("users:manage") | ("keys:manage"))[]; expires_at?: string };
    ApiKeyRotation: { overlap_s?: number };
    ApiKeyView: { id: string; name: string; prefix: string; user_id?: number; service?: string; scopes: (("logs:write") | ("logs:read") | ("mails:send") | ("mails:read") | ("mails:manage") | ("events:read") | ("events:manage") | ("platform:read") | ("platform:manage") | ("users:read") | ("users:manage") | ("keys:manage"))[]; created_at: string; expires_at?: string; last_used_at?: string; revoked_at?: string; rotated_to?: string };
    AuditBreak: { chain?: number; from?: number; to?: number; event_id?: string; what: string };
    AuditReport: { state: ("running") | ("done"); intact?: boolean; chains: number; entries: number; unsealed: number; older: number; breaks: number; items: (components["schemas"]["AuditBreak"])[]; heads: ({ chain: number; sequence: number; mac: string })[]; started_at: string; finished_at?: string };
    AuthAction: { action: "auth"; auth: components["schemas"]["Credentials"] };
    BackingHealth: { name: string; state: ("up") | ("down") | ("unknown"); since?: string; last_error?: string; last_error_at?: string; seen_by: (string)[] };
    BatchItem: { status: number; error: boolean; message: string; data?: unknown };
    BounceReport: { recipients: ({ address: string; action: string; status: string; mail_id?: string; suppressed: boolean })[] };
    BounceRequest: { message: string; encoding?: "base64" };
    CancelRequest: { to?: string };
    ChaosCounters: { calls: number; accepted: number; degraded: number; logins: number; refused: number; unanswered: number };
    ChaosExperiment: { id: string; suite: boolean; fault: ("kill") | ("crash_loop") | ("stop") | ("freeze") | ("slow") | ("cut") | ("blackhole") | ("trickle"); part: string; phase: ("load") | ("fault") | ("healing") | ("draining") | ("counting"); says: string; step: { number: number; of: number }; counters: components["schemas"]["ChaosCounters"]; samples: (components["schemas"]["ChaosSample"])[]; results: (components["schemas"]["ChaosResult"])[]; started_at: string; ended_at?: string };
    ChaosNames: { count: number; ids: (string)[] };
    ChaosOverview: { parts: (components["schemas"]["ChaosPart"])[]; suite: { steps: ({ fault: ("kill") | ("crash_loop") | ("stop") | ("freeze") | ("slow") | ("cut") | ("blackhole") | ("trickle"); part: string })[]; longest_s: number }; defaults: { seconds: number; rate: number }; notes: (string)[]; running: (components["schemas"]["ChaosExperiment"]) | (null); reports: (components["schemas"]["ChaosReportSummary"])[] };
    ChaosPart: { name: string; state: string; offers: ({ fault: ("kill") | ("crash_loop") | ("stop") | ("freeze") | ("slow") | ("cut") | ("blackhole") | ("trickle"); about: string })[]; refuses: ({ fault: ("kill") | ("crash_loop") | ("stop") | ("freeze") | ("slow") | ("cut") | ("blackhole") | ("trickle"); why: string })[] };
    ChaosReport: { id: string; title: string; outcome: ("finished") | ("stopped") | ("failed"); started_at: string; took_ms: number; error?: string; verdict?: { accepted: number; stored: number; delivered: number; dead_lettered: number; unrouted: number; queued: number; spooled: number; ambiguous: number; failed: number; lost: components["schemas"]["ChaosNames"]; twice: components["schemas"]["ChaosNames"]; altered: components["schemas"]["ChaosNames"]; back_ms?: number; heal_ms?: number; drain_ms?: number; refused: Record<string, number>; dishonest: (string)[] }; results: (components["schemas"]["ChaosResult"])[]; seed: number; rate: number; machine: { platform: string; cores: number; memory_mib: number }; versions: { platform: string; bun: string; backing: Record<string, string> }; how: (string)[] };
    ChaosReportSummary: { id: string; title: string; outcome: ("finished") | ("stopped") | ("failed"); started_at: string; took_ms: number; accepted: number; lost: number; twice: number };
    ChaosRequest: { suite?: boolean; fault?: ("kill") | ("crash_loop") | ("stop") | ("freeze") | ("slow") | ("cut") | ("blackhole") | ("trickle"); part?: string; seconds?: number; rate?: number };
    ChaosResult: { fault: ("kill") | ("crash_loop") | ("stop") | ("freeze") | ("slow") | ("cut") | ("blackhole") | ("trickle"); part: string; fault_s: number; outcome: ("finished") | ("stopped") | ("failed"); error?: string; started_at: string; counters: components["schemas"]["ChaosCounters"]; verdict?: { accepted: number; stored: number; delivered: number; dead_lettered: number; unrouted: number; queued: number; spooled: number; ambiguous: number; failed: number; lost: components["schemas"]["ChaosNames"]; twice: components["schemas"]["ChaosNames"]; altered: components["schemas"]["ChaosNames"]; back_ms?: number; heal_ms?: number; drain_ms?: number; refused: Record<string, number>; dishonest: (string)[] } };
    ChaosSample: { t: number; accepted: number; refused: number; p95_ms: (number) | (null) };
    ConfirmRequest: { token: string };
    Credentials: { email: string; password: string };
    DeadLetter: { id: string; parked: ("logs") | ("jobs") | ("unrouted"); routing_key: string; error: string; at?: string; attempts: number; bytes: number; content_type?: string; preview: string; headers?: Record<string, string>; replayed_by?: string };
    DeadLetterOutcome: { matched: number; done: number; left: number; scanned: number; complete: boolean; audit_id?: string };
    DeadLetterPage: { items: (components["schemas"]["DeadLetter"])[]; next_cursor?: string; scanned: number; complete: boolean };
    Degraded: Record<string, string>;
    DependencyView: { name: string; state: ("starting") | ("up") | ("down"); required: boolean; since: string; changes?: number; checked_at?: string; took_ms?: number; last_error?: string; last_error_at?: string; circuit?: ("closed") | ("open") | ("half-open") };
    DropRequest: { parked?: ("logs") | ("jobs") | ("unrouted"); id?: string; routing_key?: string; error?: string; older_than_s?: number; younger_than_s?: number; ids?: (string)[]; all?: true; limit?: number; dry_run?: boolean };
    EdgeFigures: { from: string; to: string; via: ("http") | ("rpc") | ("amqp") | ("sql") | ("mongodb") | ("smtp") | ("redis"); calls_per_s: (number) | (null); failed_per_s: (number) | (null); p95_ms: (number) | (null); breaker: ("closed") | ("half-open") | ("open") | (null); up: (boolean) | (null) };
    Envelope: { error: boolean; message: string; data?: unknown };
    FigureChart: { key: string; title: string; unit: string; series: (components["schemas"]["FigureSeries"])[] };
    FigureSeries: { name: string; values: ((number) | (null))[] };
    FiguresOverTime: { interval_s: number; at: (number)[]; charts: (components["schemas"]["FigureChart"])[] };
    GapsReport: { items: (components["schemas"]["ProducerGaps"])[]; next_cursor?: string; entries: number; missing: number };
    LogSizes: { as_of: string; total: { entries: number; bytes: number; disk_bytes?: number; index_bytes?: number; indexes?: ({ name: string; bytes: number })[] }; counted: { entries: number; bytes: number }; severities: ({ severity: string; entries: number; bytes: number })[]; names: ({ name: string; entries: number; bytes: number })[]; others: { entries: number; bytes: number }; days: ({ day: string; entries: number; bytes: number })[]; oldest?: string; newest?: string; growth_per_day?: { entries: number; bytes: number }; retention: { rules: (string)[]; due: number; next_24h: number } };
    TraceDetail: { trace_id: string; started_at: string; ended_at: string; duration_ms: number; services: (string)[]; error: boolean; whole: boolean; missing_parents: (string)[]; cut: boolean; spans: (components["schemas"]["TraceSpan"])[] };
    TracePage: { items: (components["schemas"]["TraceSummary"])[]; next_cursor?: string };
    TraceSpan: { span_id: string; parent_id?: string; name: string; kind: ("internal") | ("server") | ("client") | ("producer") | ("consumer"); service: string; instance?: string; started_at: string; offset_ms: number; duration_ms: number; error?: string; attributes: Record<string, unknown>; events: ({ name: string; offset_ms: number; attributes: Record<string, unknown> })[]; links: ({ trace_id: string; span_id: string })[] };
    TraceSummary: { trace_id: string; started_at: string; duration_ms: number; name?: string; service?: string; services: (string)[]; spans: number; error: boolean };
    HealthReport: { services: (components["schemas"]["ServiceHealth"])[]; backing: (components["schemas"]["BackingHealth"])[]; registry: components["schemas"]["RegistryHealth"] };
    InstanceLevel: { service: string; instance?: string; level?: ("debug") | ("info") | ("warn") | ("error") | ("silent"); configured?: ("debug") | ("info") | ("warn") | ("error") | ("silent"); until?: string; error?: string };
    LevelList: { items: (components["schemas"]["InstanceLevel"])[] };
    LevelsChange: { level: ("debug") | ("info") | ("warn") | ("error") | ("silent"); for_s?: number; services?: (("broker") | ("auth") | ("logger") | ("mail") | ("listener"))[] };
    InstanceHealth: { state: ("up") | ("degraded") | ("not_ready") | ("away"); url?: string; version?: string; up_since?: string; last_seen?: string; took_ms: number };
    RegistryHealth: { mode: ("static") | ("dns") | ("rabbitmq"); state: ("up") | ("down") | ("off"); since: string; announced: number };
    BacklogView: { name: string; waiting: number };
    LogAction: { action: "log"; log: components["schemas"]["LogRequest"] };
    LogHistogram: { from: string; to: string; interval_ms: number; total: number; names: (string)[]; buckets: ({ at: string; total: number; severities: Record<string, number>; names: (number)[]; others: number })[] };
    LogItem: { event_id: string; name: string; severity: string; data: unknown; created_at: string; stored_at?: string; source?: string; request_id?: string; trace_id?: string; producer?: { id: string; sequence: number }; origin?: { exchange: string; routing_key: string } };
    LogPage: { items: (components["schemas"]["LogItem"])[]; next_cursor?: string; text?: ("index") | ("pattern") };
    LogEntriesRequest: { entries: (components["schemas"]["LogRequest"])[] };
    LogRequest: { name: string; data: unknown; severity?: ("INFO") | ("WARNING") | ("ERROR") };
    LoginReply: (components["schemas"]["MeView"]) & ({ access_token: string; refresh_token?: string; expires_in: number; refresh_expires_in: number });
    MailAction: { action: "mail"; mail: { from: string; to: string; subject: string; message: string } };
    MailContent: { subject: string; text: string; html: string; template?: { name: string; version: number; locale: string } };
    MailMessage: { from: string; to: (string) | ((string)[]); cc?: (string)[]; bcc?: (string)[]; reply_to?: string; subject?: string; message?: string; template?: { name: string; version?: number; locale?: string; variables?: Record<string, unknown> }; attachments?: ({ filename: string; content_type: string; content: string; content_id?: string })[]; headers?: Record<string, string>; priority?: ("high") | ("normal") | ("low"); send_at?: string; list?: string };
    MailPage: { items: (components["schemas"]["MailView"])[]; next_cursor?: string };
    MailRecipient: { address: string; kind: ("to") | ("cc") | ("bcc"); state: ("queued") | ("sending") | ("sent") | ("deferred") | ("failed") | ("expired") | ("ambiguous") | ("cancelled") | ("bounced"); attempts: number; updated_at: string; next_attempt_at?: string; expires_at: string; reply?: { code?: number; text: string; command?: string }; history?: ({ at: string; outcome: string; reply?: { code?: number; text: string; command?: string }; took_ms?: number })[] };
    MailReply: { id: string; state: ("sent") | ("queued") | ("ambiguous") | ("partial"); recipients?: ({ address: string; state: ("queued") | ("sending") | ("sent") | ("deferred") | ("failed") | ("expired") | ("ambiguous") | ("cancelled") | ("bounced"); reason?: string })[] };
    MailView: { id: string; state: ("queued") | ("sending") | ("sent") | ("deferred") | ("failed") | ("expired") | ("ambiguous") | ("cancelled") | ("bounced") | ("partial"); from: string; to: string; subject: string; attempts: number; created_at: string; updated_at: string; next_attempt_at?: string; expires_at: string; reply?: { code?: number; text: string; command?: string }; recipients: (components["schemas"]["MailRecipient"])[]; priority: ("high") | ("normal") | ("low"); list?: string; template?: { name: string; version: number; locale: string }; attachments?: ({ filename: string; content_type: string; bytes: number })[]; trace_id?: string };
    ManagedUser: (components["schemas"]["UserView"]) & ({ role: ("member") | ("operator") | ("admin"); extra_scopes: (("logs:write") | ("logs:read") | ("mails:send") | ("mails:read") | ("mails:manage") | ("events:read") | ("events:manage") | ("platform:read") | ("platform:manage") | ("users:read") | ("users:manage") | ("keys:manage"))[]; scopes: (("logs:write") | ("logs:read") | ("mails:send") | ("mails:read") | ("mails:manage") | ("events:read") | ("events:manage") | ("platform:read") | ("platform:manage") | ("users:read") | ("users:manage") | ("keys:manage"))[]; email_verified: boolean; version: number; last_login_at?: string });
    ManagedUserPage: { items: (components["schemas"]["ManagedUser"])[]; next_cursor?: string };
    MePatch: { version: number; first_name?: string; last_name?: string };
    MeView: (components["schemas"]["UserView"]) & ({ session_id: string; registration?: ("pending") | ("complete") | ("mail_refused"); role: ("member") | ("operator") | ("admin"); scopes: (("logs:write") | ("logs:read") | ("mails:send") | ("mails:read") | ("mails:manage") | ("events:read") | ("events:manage") | ("platform:read") | ("platform:manage") | ("users:read") | ("users:manage") | ("keys:manage"))[]; email_verified: boolean; version: number });
    NewApiKey: (components["schemas"]["ApiKeyView"]) & ({ key: string });
    PasswordChange: { current_password: string; new_password: string };
    PartFigures: { name: string; instances: number; answered: number; values: Record<string, (number) | (null)> };
    PlatformFigures: { at: (string) | (null); interval_s: number; parts: (components["schemas"]["PartFigures"])[]; edges: (components["schemas"]["EdgeFigures"])[]; queues: (components["schemas"]["QueueView"])[] };
    PreviewRequest: { version?: number; locale?: string; variables?: Record<string, unknown> };
    ProducerGaps: { producer: string; last: number; from?: number; to?: number; stored: number; removed?: number; missing: number; missing_ranges: ([number, number])[]; duplicates: ({ sequence: number; event_ids: (string)[] })[]; cut?: true; first_stored_at: string; last_stored_at: string };
    QueueList: { items: (components["schemas"]["QueueView"])[] };
    QueueView: { name: string; role: ("work") | ("retry") | ("dead-letters") | ("unrouted"); messages: number; consumers: number; in_hand: number; held: number };
    Receipt: { id: string; kind: ("log") | ("event") | ("mail"); state: ("accepted") | ("spooled") | ("queued") | ("stored") | ("sent") | ("refused") | ("bounced") | ("cancelled") | ("partial") | ("expired") | ("ambiguous") | ("dead-lettered") | ("unrouted"); where: string; at?: string; reason?: string; final: boolean; steps: (components["schemas"]["ReceiptStep"])[]; unasked: (string)[] };
    ReceiptStep: { state: ("accepted") | ("spooled") | ("queued") | ("stored") | ("sent") | ("refused") | ("bounced") | ("cancelled") | ("partial") | ("expired") | ("ambiguous") | ("dead-lettered") | ("unrouted"); where: string; at?: string; reason?: string };
    RefreshRequest: { refresh_token: string };
    Registration: { email: string; password: string; first_name?: string; last_name?: string };
    RegistrationView: (components["schemas"]["UserView"]) & ({ registration: ("pending") | ("complete") | ("mail_refused"); mail_id: string });
    ReplayRequest: { parked?: ("logs") | ("jobs") | ("unrouted"); id?: string; routing_key?: string; error?: string; older_than_s?: number; younger_than_s?: number; ids?: (string)[]; rate?: number; limit?: number; dry_run?: boolean };
    ResetRequest: { token: string; new_password: string };
    ResolveRequest: { as: ("sent") | ("failed") | ("resend"); to?: string };
    ServiceHealth: { name: string; state: ("up") | ("degraded") | ("not_ready") | ("away"); instances: (components["schemas"]["InstanceHealth"])[]; dependencies: (components["schemas"]["DependencyView"])[]; backlog: (components["schemas"]["BacklogView"])[]; took_ms: number };
    SessionPage: { items: (components["schemas"]["SessionView"])[]; next_cursor?: string };
    SessionView: { id: string; user_id: number; created_at: string; used_at: string; expires_at: string; address?: string; agent?: string; current: boolean };
    SessionsEnded: { ended: number };
    Suppression: { address: string; list?: string; reason: string; created_at: string };
    SuppressionPage: { items: (components["schemas"]["Suppression"])[]; next_cursor?: string };
    SuppressRequest: { address: string; list?: string; reason?: string };
    TemplateList: { items: (components["schemas"]["TemplateView"])[] };
    TemplateView: { name: string; version: number; locales: (string)[]; description: string; schema: unknown; example: Record<string, unknown> };
    TokenReply: { access_token: string; refresh_token?: string; expires_in: number; refresh_expires_in: number; session_id: string };
    UserPatch: { version: number; email?: string; first_name?: string; last_name?: string; active?: boolean; role?: ("member") | ("operator") | ("admin"); extra_scopes?: (("logs:write") | ("logs:read") | ("mails:send") | ("mails:read") | ("mails:manage") | ("events:read") | ("events:manage") | ("platform:read") | ("platform:manage") | ("users:read") | ("users:manage") | ("keys:manage"))[] };
    UserView: { id: number; email: string; first_name: string; last_name: string; active: number; created_at: string; updated_at: string };
  };
}

export interface paths {
  "/": {
    /** Hit the broker */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/handle": {
    /** Do one action, or a batch */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": (components["schemas"]["AuthAction"]) | (components["schemas"]["LogAction"]) | (components["schemas"]["MailAction"]) | (((components["schemas"]["AuthAction"]) | (components["schemas"]["LogAction"]) | (components["schemas"]["MailAction"]))[]) } };
      responses: {
        202: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: ((components["schemas"]["LoginReply"]) & ({ receipt_id?: string; degraded?: components["schemas"]["Degraded"] })) | (({ id: string }) & ({ receipt_id?: string; degraded?: components["schemas"]["Degraded"] })) | ({ receipt_id?: string; degraded?: components["schemas"]["Degraded"] }) } } };
        207: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: (components["schemas"]["BatchItem"])[] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/sessions": {
    /** Log in */
    post: {
      parameters: { query?: never; header?: { "X-Session"?: "cookie"; "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["Credentials"] } };
      responses: {
        201: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["LoginReply"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Your sessions that have not ended */
    get: {
      parameters: { query?: { limit?: number; cursor?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["SessionPage"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** End all of your sessions, this one among them */
    delete: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["SessionsEnded"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/sessions/refresh": {
    /** Go on with a session: new tokens for a refresh token */
    post: {
      parameters: { query?: never; header?: { "X-Session"?: "cookie" }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": (components["schemas"]["RefreshRequest"]) | (Record<string, unknown>) } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["TokenReply"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/sessions/current": {
    /** Log out */
    delete: {
      parameters: { query?: never; header?: { "X-Session"?: "cookie" }; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["SessionsEnded"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/sessions/{id}": {
    /** End one of your sessions */
    delete: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["SessionsEnded"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/users/{id}/sessions": {
    /** Sessions of a user */
    get: {
      parameters: { query?: { limit?: number; cursor?: string }; header?: never; path: { id: number }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["SessionPage"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** End all sessions of a user */
    delete: {
      parameters: { query?: never; header?: never; path: { id: number }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["SessionsEnded"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/me": {
    /** The user of this session */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: (components["schemas"]["MeView"]) & ({ degraded?: components["schemas"]["Degraded"] }) } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Change your name */
    patch: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["MePatch"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["MeView"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/me/password": {
    /** Change your password */
    put: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["PasswordChange"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["SessionsEnded"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/users": {
    /** Register */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["Registration"] } };
      responses: {
        201: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["RegistrationView"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Users, newest first */
    get: {
      parameters: { query?: { q?: string; role?: ("member") | ("operator") | ("admin"); active?: ("true") | ("false"); limit?: number; cursor?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ManagedUserPage"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/users/{id}": {
    /** A user */
    get: {
      parameters: { query?: never; header?: never; path: { id: number }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ManagedUser"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Change a user */
    patch: {
      parameters: { query?: never; header?: never; path: { id: number }; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["UserPatch"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ManagedUser"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Delete a user */
    delete: {
      parameters: { query?: never; header?: never; path: { id: number }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/email-verifications": {
    /** Ask for a mail that proves an address */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["AddressRequest"] } };
      responses: {
        202: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/email-verifications/confirm": {
    /** Prove the address, by the token of the mail's link */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["ConfirmRequest"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/password-resets": {
    /** Ask for a mail that lets somebody set a new password */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["AddressRequest"] } };
      responses: {
        202: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/password-resets/confirm": {
    /** Set a new password, by the token of the mail's link */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["ResetRequest"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/api-keys": {
    /** Make an API key */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["ApiKeyRequest"] } };
      responses: {
        201: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["NewApiKey"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** API keys, newest first; never the keys themselves */
    get: {
      parameters: { query?: { user_id?: number; service?: string; limit?: number; cursor?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ApiKeyPage"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/api-keys/{id}": {
    /** Revoke an API key */
    delete: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ApiKeyView"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/api-keys/{id}/rotate": {
    /** Put a new API key in the place of one */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path: { id: string }; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["ApiKeyRotation"] } };
      responses: {
        201: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["NewApiKey"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/logs": {
    /** Log entries, newest first */
    get: {
      parameters: { query?: { limit?: number; cursor?: string; name?: string; severity?: string; from?: string; to?: string; producer?: string; trace_id?: string; request_id?: string; event_id?: string; q?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["LogPage"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Log an entry, or several */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": (components["schemas"]["LogRequest"]) | (components["schemas"]["LogEntriesRequest"]) | ((components["schemas"]["LogRequest"])[]) } };
      responses: {
        202: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: { receipt_id?: string; degraded?: components["schemas"]["Degraded"] } } } };
        207: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: (components["schemas"]["BatchItem"])[] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/otlp/v1/logs": {
    /** Logs of OpenTelemetry (OTLP/HTTP) */
    post: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody: { content: { "application/json": { resourceLogs?: (Record<string, unknown>)[] }; "application/x-protobuf": string } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { partialSuccess?: Record<string, unknown> }; "application/x-protobuf": string } };
        400: { headers: Record<string, unknown>; content: { "application/json": { message?: string }; "application/x-protobuf": string } };
        401: { headers: Record<string, unknown>; content: { "application/json": { message?: string }; "application/x-protobuf": string } };
        403: { headers: Record<string, unknown>; content: { "application/json": { message?: string }; "application/x-protobuf": string } };
        413: { headers: Record<string, unknown>; content: { "application/json": { message?: string }; "application/x-protobuf": string } };
        415: { headers: Record<string, unknown>; content: { "application/json": { message?: string }; "application/x-protobuf": string } };
        429: { headers: Record<string, unknown>; content: { "application/json": { message?: string }; "application/x-protobuf": string } };
        502: { headers: Record<string, unknown>; content: { "application/json": { message?: string }; "application/x-protobuf": string } };
        503: { headers: Record<string, unknown>; content: { "application/json": { message?: string }; "application/x-protobuf": string } };
        504: { headers: Record<string, unknown>; content: { "application/json": { message?: string }; "application/x-protobuf": string } };
      };
    };
  };
  "/v1/logs/audit": {
    /** The audit trail: whether an entry named `audit` was changed, removed or added */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["AuditReport"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/receipts/{id}": {
    /** Where something is that was accepted */
    get: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["Receipt"] } } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/mails": {
    /** Send a mail */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["MailMessage"] } };
      responses: {
        202: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: (components["schemas"]["MailReply"]) & ({ receipt_id?: string; degraded?: components["schemas"]["Degraded"] }) } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Mails, newest first */
    get: {
      parameters: { query?: { state?: ("queued") | ("sending") | ("sent") | ("deferred") | ("failed") | ("expired") | ("ambiguous") | ("cancelled") | ("bounced"); to?: string; from?: string; list?: string; template?: string; since?: string; until?: string; limit?: number; cursor?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["MailPage"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/unsubscribe/{token}": {
    /** The page behind the link in a bulk mail */
    get: {
      parameters: { query?: never; header?: never; path: { token: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "text/html": string } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"]; "text/html": string } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"]; "text/html": string } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Leave a mailing list with one click (RFC 8058) */
    post: {
      parameters: { query?: never; header?: never; path: { token: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"]; "text/html": string } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"]; "text/html": string } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"]; "text/html": string } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/mails/{id}": {
    /** Where a mail stands, with every attempt and the mail server's reply */
    get: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["MailView"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/mails/{id}/content": {
    /** What a mail looks like to who gets it */
    get: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["MailContent"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/mails/{id}/resolve": {
    /** Decide what becomes of a mail of which it is not known whether it was sent */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path: { id: string }; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["ResolveRequest"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["MailView"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/mails/{id}/cancel": {
    /** Take back a mail that was not sent yet */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path: { id: string }; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["CancelRequest"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["MailView"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/templates": {
    /** Templates: names, versions, locales, and the schema of their variables */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["TemplateList"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/templates/{name}/preview": {
    /** A template with these variables, as it would be sent */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path: { name: string }; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["PreviewRequest"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["MailContent"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/suppressions": {
    /** Addresses that get no mail, newest first */
    get: {
      parameters: { query?: { address?: string; limit?: number; cursor?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["SuppressionPage"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Send no more mail to an address */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["SuppressRequest"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["Suppression"] } } };
        201: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["Suppression"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/suppressions/{address}": {
    /** Send mail to an address again */
    delete: {
      parameters: { query?: { list?: string }; header?: never; path: { address: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/bounces": {
    /** Hand in a delivery status notification (RFC 3464) */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["BounceRequest"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["BounceReport"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/logs/histogram": {
    /** How many log entries there are over time, by severity and name */
    get: {
      parameters: { query?: { interval?: string; name?: string; severity?: string; from?: string; to?: string; producer?: string; trace_id?: string; request_id?: string; event_id?: string; q?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["LogHistogram"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/logs/export": {
    /** All log entries that are asked for, as NDJSON */
    get: {
      parameters: { query?: { name?: string; severity?: string; from?: string; to?: string; producer?: string; trace_id?: string; request_id?: string; event_id?: string; q?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/x-ndjson": string } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/logs/{id}": {
    /** One log entry */
    get: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["LogItem"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/events/queues": {
    /** Queues: what waits, what is in hand, what is held */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["QueueList"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/events/dead-letters": {
    /** Messages that nobody could use, oldest first */
    get: {
      parameters: { query?: { parked?: ("logs") | ("jobs") | ("unrouted"); id?: string; routing_key?: string; error?: string; older_than_s?: number; younger_than_s?: number; limit?: number; cursor?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["DeadLetterPage"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/events/dead-letters/replay": {
    /** Send dead letters once more */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["ReplayRequest"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["DeadLetterOutcome"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/events/dead-letters/drop": {
    /** Throw dead letters away */
    post: {
      parameters: { query?: never; header?: { "Idempotency-Key"?: string }; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["DropRequest"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["DeadLetterOutcome"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/logs/sizes": {
    /** How much is stored, by severity, name and day, and what retention removes next */
    get: {
      parameters: { query?: { days?: number }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["LogSizes"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/logs/gaps": {
    /** Completeness: which numbers of which producer are missing or there twice */
    get: {
      parameters: { query?: { producer?: string; limit?: number; cursor?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["GapsReport"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/log-levels": {
    /** What each instance of each service logs */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["LevelList"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Change what services log, without restarting them */
    put: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["LevelsChange"] } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["LevelList"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/logs/tail": {
    /** Entries as they are stored, as server-sent events */
    get: {
      parameters: { query?: { name?: string; severity?: string; producer?: string; trace_id?: string; request_id?: string; event_id?: string; q?: string; after?: string }; header?: { "Last-Event-ID"?: string }; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "text/event-stream": string } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/traces": {
    /** The last traces, newest first */
    get: {
      parameters: { query?: { min_duration_ms?: number; error?: boolean; name?: string; service?: string; limit?: number; cursor?: string }; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["TracePage"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/traces/{id}": {
    /** One trace with all of its spans */
    get: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["TraceDetail"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/health": {
    /** All five services and what they depend on, as one answer */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["HealthReport"] } } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/chaos": {
    /** What can be broken, what is being broken, and what came of it before */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ChaosOverview"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/chaos/experiments": {
    /** Break a part while requests go on, heal it, and count */
    post: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody: { content: { "application/json": components["schemas"]["ChaosRequest"] } };
      responses: {
        202: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ChaosExperiment"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/chaos/experiments/{id}": {
    /** The experiment that runs, or the last one */
    get: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ChaosExperiment"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
    /** Stop it: heal, count what there is, begin nothing further */
    delete: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ChaosExperiment"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/chaos/experiments/{id}/heal": {
    /** End the fault now; the rest goes on */
    post: {
      parameters: { query?: never; header?: never; path: { id: string }; cookie?: never };
      requestBody: { content: { "application/json": Record<string, unknown> } };
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ChaosExperiment"] } } };
        400: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        409: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        413: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        415: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/chaos/reports/{id}": {
    /** A report: the verdict, and how it was come to */
    get: {
      parameters: { query?: { format?: ("json") | ("markdown") }; header?: never; path: { id: string }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["ChaosReport"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        502: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        504: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/platform/figures": {
    /** Rates, times and sizes of all parts and of the ways between them, as they are now */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["PlatformFigures"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/v1/platform/figures/{part}": {
    /** The figures of one part over time, as charts */
    get: {
      parameters: { query?: { window_s?: number }; header?: never; path: { part: "broker" | "auth" | "logger" | "mail" | "listener" | "rabbitmq" | "postgres" | "mongodb" | "smtp" | "redis" }; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": { error: false; message: string; data: components["schemas"]["FiguresOverTime"] } } };
        401: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        403: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        404: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        422: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/.well-known/jwks.json": {
    /** The public keys of access tokens */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": Record<string, unknown> } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/ping": {
    /** Alive */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "text/plain": string } };
      };
    };
  };
  "/ready": {
    /** The broker: ready, and the state of each dependency */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
        503: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
  "/metrics": {
    /** Prometheus metrics */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "text/plain": string } };
      };
    };
  };
  "/openapi.json": {
    /** This description */
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: {
        200: { headers: Record<string, unknown>; content: { "application/json": unknown } };
        429: { headers: Record<string, unknown>; content: { "application/json": components["schemas"]["Envelope"] } };
      };
    };
  };
}
