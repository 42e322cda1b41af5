/**
 * The documents that the agent sends, as far as this page reads them: the types of `shapes.py` and `flow_shapes.py` in
 * `ringfence/api/`, for JSDoc.
 *
 * @typedef {{policy: string, text: string, origin: string}} DecidingRule
 * @typedef {{identity: number, labels: string[], address: string, port: number, endpoint: string | null}} Party
 * @typedef {{
 *   time: string, kind: string, source: Party, destination: Party, protocol: string, port: string, direction: string,
 *   verdict: string, reason: string, rule: DecidingRule | null,
 *   rules: {egress: DecidingRule | null, ingress: DecidingRule | null},
 *   match: string, revision: number, length: number, packets: number[], bytes: number[], tcp_flags: string, status: string
 * }} Flow
 * @typedef {{flow: Flow, events: number, packets: number, bytes: number}} DigestEdge
 * @typedef {{ring: number, decode: number, subscriber: number, store: number}} Losses
 * @typedef {{
 *   time: string, seconds: number, revision: number, events: number, allowed: number, denied: number,
 *   edges: DigestEdge[], edges_left_out: number, flows: Flow[], lost: number, losses: Losses
 * }} Digest
 * @typedef {{
 *   policy: string, index: number, direction: string, tier: string, verdict: string, origin: string, text: string,
 *   entries: number, packets: number, bytes: number
 * }} Rule
 * @typedef {{
 *   uid: string, kind: string, namespace: string, name: string, origin: string, rules: number, text?: string,
 *   text_line?: number
 * }} Policy
 * @typedef {{
 *   name: string, identity: number, labels: string[], addresses: string[], interface: string, netns: string,
 *   state: string, enforcement: {ingress: boolean, egress: boolean}, delivery: string, delivery_reason: string
 * }} Endpoint
 * @typedef {{
 *   revision: number, instance: string, endpoints: number, policies: number, identities: number, uptime_seconds: number,
 *   events: {seen: number, lost: number, held_back: number, losses: Losses},
 *   recording: {state: string, reason: string, directory: string, segments: number, bytes: number, flows: number,
 *     oldest: string | null},
 *   counters: {allowed: number, denied: number},
 *   drops: {reason: string, direction: string, packets: number, bytes: number}[],
 *   last_commit: {revision: number, time: string, entries: number, prefixes: number, rules: number,
 *     milliseconds: number} | null,
 *   warnings: string[]
 * }} Status
 */

export {};
