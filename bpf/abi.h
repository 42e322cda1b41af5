/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every struct, enum and constant that user space sees too. `tools/generate_abi.py` reads them back from the BTF of the
 * compiled object and writes src/ringfence/abi/; nothing here is written a second time. No bitfields; padding has a
 * name; fields in wire order are __be16. Enum members carry the enum's name as their prefix.
 */
#pragma once

#include <linux/types.h>

/* Numbers as in Cilium's events and metrics. */
enum direction {
	DIRECTION_INGRESS = 1,
	DIRECTION_EGRESS = 2,
};

/* Judged in this order; a pass, or no match, goes on to the next. */
enum tier {
	TIER_ADMIN = 0,
	TIER_NORMAL = 1,
	TIER_BASELINE = 2,
};

/* What policy_key.peer is. The order is that of specificity. */
enum peer_kind {
	PEER_KIND_IDENTITY = 0,
	PEER_KIND_PREFIX_CLASS = 1,
	PEER_KIND_ANY = 2,
};

enum verdict {
	VERDICT_ALLOW = 0,
	VERDICT_DENY = 1,
	VERDICT_PASS = 2,
};

/* How a packet reaches an endpoint of this host once both directions are judged. */
enum delivery {
	DELIVERY_STACK = 0,
	DELIVERY_REDIRECT = 1,
	DELIVERY_PEER = 2,
};

enum ct_status {
	CT_STATUS_NEW = 0,
	CT_STATUS_ESTABLISHED = 1,
	CT_STATUS_REPLY = 2,
	CT_STATUS_RELATED = 3,
};

/* Which packets write an event, from the most to the fewest; of two endpoints the one that wants more decides. */
enum aggregation {
	AGGREGATION_HOST = 0, /* of an endpoint: as the host's setting says */
	AGGREGATION_PACKETS = 1, /* every packet */
	AGGREGATION_CONNECTIONS = 2, /* judgements, denials, TCP's SYN, FIN and RST, and ends with totals */
	AGGREGATION_VERDICTS = 3, /* judgements and denials */
	AGGREGATION_OFF = 4, /* none; what is counted is counted all the same */
};

/* What an event tells of. */
enum event_kind {
	EVENT_KIND_VERDICT = 0, /* a judgement, of a new connection or after a change of policy, or a denial */
	EVENT_KIND_PACKET = 1, /* a packet that the remembered verdict let through */
	EVENT_KIND_FLAGS = 2, /* likewise, the first of its direction with SYN, FIN or RST */
	EVENT_KIND_CLOSE = 3, /* the end of a connection: RST, FIN of both sides, or its time without a packet */
	EVENT_KIND_STAGED = 4, /* a judgement that the staged policies make otherwise: theirs, without effect */
};

/* Why a packet was let through or dropped. Up to 223 the numbers are Cilium's; from 224 they are ours. */
enum reason {
	REASON_FORWARDED = 0,
	REASON_INVALID_SOURCE = 132,
	REASON_POLICY_DENIED = 133, /* by the default deny of an isolated endpoint */
	REASON_INVALID_PACKET = 134,
	REASON_UNSUPPORTED_L3 = 139,
	REASON_CT_INSERT_FAILED = 155,
	REASON_INVALID_EXTENSION_HEADER = 156,
	REASON_NO_BACKEND = 158, /* the service has none, or the connection's own is gone */
	REASON_NO_SNAT_PORT = 167, /* no source port is free towards this destination */
	REASON_CLUSTER_ADDRESS = 174, /* from outside to an address that is for workloads and the node alone */
	REASON_SOURCE_RANGE = 177, /* the client is in none of the service's loadBalancerSourceRanges */
	REASON_FRAGMENT_WITHOUT_FIRST = 175,
	REASON_FORBIDDEN_ICMPV6 = 176,
	REASON_POLICY_DENY_RULE = 181, /* by a deny rule */
	REASON_VLAN = 182,
	REASON_REVISION_MOVED = 224, /* the policy changed at every try to judge by one revision */
	REASON_NO_ENDPOINT = 225, /* the interface has no endpoint record */
	REASON_TARGET_GONE = 226, /* the destination endpoint's interface has vanished */
	REASON_NO_VERDICT = 227, /* no entry matched, not even a default: the map state is incomplete */
	REASON_WRONG_INTERFACE = 228, /* delivered to the interface of another endpoint */
	REASON_FRAGMENT_TRACKING = 229, /* the first fragment could not be remembered */
	REASON_PREFILTER = 230, /* the source is on the prefilter's list */
	REASON_UNKNOWN_SERVICE_PORT = 231, /* the address is a service's, the port is none of its */
	REASON_TRANSLATION_FAILED = 232, /* the packet could not be rewritten */
	REASON_STAGED_ALLOW = 234, /* only counted: denied, and the staged policies would allow it */
	REASON_STAGED_DENY = 235, /* only counted: let through, and the staged policies would deny it */
	REASON_TUPLE_TAKEN = 233, /* client and backend have a connection by the same ports that is not the service's */
};

/* A prefix of one of the prefilter's lists. */
struct prefilter_key {
	__u32 prefix_length; /* the 32 bits of list and family, then those of the address */
	__u16 list; /* its number */
	__u16 family; /* 4, 6 */
	__u8 address[16]; /* IPv4 takes the first four bytes */
};

/* By which an uplink's source translation finds a flow: its packets as they leave the endpoint, or the answers to them as
 * they come in. An echo's identifier is the port of who asks, the other one is 0.
 */
struct snat_key {
	__u8 source[16];
	__u8 destination[16];
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 inward;
	__u8 pad[2];
};

/* The source that leaves, or the destination that answers are given. */
struct snat_entry {
	__u8 address[16];
	__be16 port;
	__u16 pad;
	__u32 pad2;
	__u64 created; /* jiffies */
};

/* The node's addresses at an uplink, by which endpoints are seen in the world; all zero: not translated. */
struct uplink {
	__u8 ipv4[16]; /* mapped */
	__u8 ipv6[16];
};

/* A value under the revision number: from_revision in the upper half, the value in the lower, written by one store
 * and read by one load. Of two slots the one with the newest from_revision not newer than the active revision
 * counts. 0 means "nothing here".
 */
typedef __u64 slot_t;

/* What the policy map is asked for. A wildcard is a prefix length, never the value 0: an ICMP echo reply has type 0. */
struct policy_key {
	__u32 subject; /* identity of the endpoint the rule protects */
	__u32 peer; /* identity or prefix class; 0 for any */
	__u16 port; /* host order, bits beyond the prefix are 0; the type for ICMP and ICMPv6 */
	__u8 protocol; /* IP protocol number; 0 where prefix is 0 */
	__u8 prefix; /* 0: any protocol; 8: the protocol; 8 + n: the protocol and the first n bits of the port */
	__u8 peer_kind; /* enum peer_kind */
	__u8 tier; /* enum tier */
	__u8 direction; /* enum direction */
	__u8 staged; /* 1: of the staged policies, which are judged without effect */
};

/* A row of the array that policy map values number; holds rule numbers. */
struct policy_record {
	slot_t rule[2];
};

/* What a rule number means. Written before a revision that uses it, never changed while one is in use. */
struct rule {
	__u64 precedence; /* higher wins within a tier */
	__u8 verdict; /* enum verdict */
	__u8 reason; /* enum reason, for denials */
	__u8 pad[6];
};

struct ipcache_key {
	__u32 prefix_length; /* 32 (the family) + bits of the address */
	__u32 family; /* 4 or 6 */
	__u8 address[16]; /* IPv4 in the first four bytes */
};

/* A whole address, IPv4 mapped into ::ffff:0:0/96. Looked up before the LPM trie. */
struct ipcache_exact_key {
	__u8 address[16];
};

/* A row of the array that ipcache values number: what is known of a prefix or address. */
struct peer_record {
	slot_t identity[2];
	slot_t prefix_class[2];
	slot_t endpoint[2]; /* row of the endpoints array, 0 for an address that is not on this host */
	__u64 pad[2];
};

/* A workload on this host. */
struct endpoint {
	__u32 ifindex; /* of the host side of its interface; 0: this row is free or its interface is gone */
	__u32 id; /* as people see it */
	__u8 delivery; /* enum delivery */
	__u8 aggregation; /* enum aggregation */
	__u8 mac[6]; /* the workload's own */
	__u8 host_mac[6]; /* the host side's */
	__u8 pad2[10];
};

/* What a packet's destination is looked up by: an address and port of a service (a frontend). A row with port 0 and
 * protocol 0 says that the address is a service's, for ports that are not.
 */
struct service_key {
	__u8 address[16]; /* IPv4 mapped into ::ffff:0:0/96 */
	__be16 port;
	__u8 protocol;
	__u8 scope; /* enum service_scope */
};

/* Whose packets a frontend is for. One from outside looks for its own first. */
enum service_scope {
	SERVICE_SCOPE_ANY = 0,
	SERVICE_SCOPE_OUTSIDE = 1, /* met at an uplink; another set of backends under externalTrafficPolicy: Local */
};

/* A row of the array that values of the services map number: one frontend. Its row is the number that events and
 * conntrack entries name it by.
 */
struct service {
	slot_t table[2]; /* where its table begins in service_tables; 0: the frontend does not exist */
	__u8 address[16];
	__be16 port;
	__u8 protocol;
	__u8 scope;
	__u32 pad[3];
};

/* A table: words of the array service_tables, never changed while a revision uses it. From ENTRIES on rows of backends,
 * COUNT of them; where MAGLEV is set the hash of the client's tuple picks one, else chance does.
 */
enum service_table_word {
	SERVICE_TABLE_WORD_COUNT = 0,
	SERVICE_TABLE_WORD_FLAGS = 1, /* enum service_flag */
	SERVICE_TABLE_WORD_AFFINITY = 2, /* seconds that a client without a packet keeps its backend */
	SERVICE_TABLE_WORD_GROUP = 3, /* backends of other groups are not this service's */
	SERVICE_TABLE_WORD_ENTRIES = 4,
};

enum service_flag {
	SERVICE_FLAG_MAGLEV = 1,
	SERVICE_FLAG_AFFINITY = 2,
	SERVICE_FLAG_SOURCE_RANGES = 4, /* only clients that source_ranges has, under the number of this table */
	SERVICE_FLAG_NO_PORT = 8, /* the row for ports that are none of the service's */
	SERVICE_FLAG_INSIDE = 16, /* not for packets met at an uplink */
};

enum backend_state {
	BACKEND_STATE_ABSENT = 0, /* its connections end */
	BACKEND_STATE_ACTIVE = 1,
	BACKEND_STATE_TERMINATING = 2, /* keeps its connections, is in no table */
	BACKEND_STATE_QUARANTINED = 3, /* likewise: not ready */
};

/* Where a service port's connections go. Rows are of one group: frontends of a service port share them, services do not. */
struct backend {
	slot_t state[2]; /* enum backend_state */
	__u8 address[16];
	__be16 port;
	__u16 pad;
	__u32 group; /* number of the service port, not 0 */
	__u64 pad2;
};

struct affinity_key {
	__u8 client[16];
	__u32 service; /* row of services */
};

struct affinity {
	__u64 last_used; /* jiffies */
	__u32 backend; /* row */
	__u32 pad;
};

struct source_range_key {
	__u32 prefix_length; /* 64 (table and family) + bits of the address */
	__u32 table; /* beginning of the service's table */
	__u32 family; /* 4 or 6 */
	__u8 address[16]; /* IPv4 in the first four bytes */
};

/* 5-tuple of a connection, equal for both directions: the lower (address, port) first. */
struct ct4_key {
	__u8 low_address[4];
	__u8 high_address[4];
	__be16 low_port;
	__be16 high_port;
	__u8 protocol;
	__u8 echo_from_high; /* ICMP echo: which side asks; else 0 */
	__u8 pad[2];
};

struct ct6_key {
	__u8 low_address[16];
	__u8 high_address[16];
	__be16 low_port;
	__be16 high_port;
	__u8 protocol;
	__u8 echo_from_high;
	__u8 pad[2];
};

/* Bits of ct_entry.verdict's low byte. */
enum ct_flag {
	CT_FLAG_FROM_HIGH = 1, /* the connection was opened by the side that is high in the key */
	CT_FLAG_INGRESS_ONLY = 2, /* its egress was judged by another tuple, before the stack rewrote the destination */
	CT_FLAG_TRANSLATED = 4, /* of a service's connection: `nat` holds */
	CT_FLAG_FRONTEND = 8, /* its tuple is what the client sees; that of the backend has an entry of its own */
	CT_FLAG_HAIRPIN = 16, /* the client is its own backend */
};

/* Bits of ct_entry.state. */
enum ct_state {
	CT_STATE_REPLIED = 1, /* a packet was seen against the opening direction */
	CT_STATE_CLOSING = 2, /* FIN or RST seen */
	CT_STATE_RECREATED = 4, /* made by a segment without SYN */
	CT_STATE_TOLD = 8, /* its end was told, and nothing of it since */
};

/* What a packet is translated to. */
struct nat {
	__u8 address[16]; /* by CT_FLAG_FRONTEND where the client's packets go, else where replies come from */
	__be16 port;
	__u16 service; /* row of services */
	__u32 backend; /* row of backends */
};

/* An allowed connection. One through a service has two entries, by the tuple that the client sees and by the one that the
 * backend sees, so that each way is one look-up; they tell each other what they saw. Elements of an LRU map are recycled under a reader: `verdict` and `endpoints` both carry a tag
 * of the tuple, and nothing in an entry but `verdict`'s revision and the counters is changed once it is written.
 */
struct ct_entry {
	__u64 verdict; /* revision: 32 | tag: 24 | enum ct_flag: 8 */
	__u64 endpoints; /* tag: 32 | destination endpoint row: 16 | source endpoint row: 16; source opened it */
	__u32 egress_record; /* policy records that allowed it; 0: not judged in that direction */
	__u32 ingress_record;
	__u32 source_identity;
	__u32 destination_identity;
	__u64 last_seen; /* jiffies */
	__u64 created; /* jiffies */
	__u64 packets[2]; /* [0] as opened, [1] replies; plain adds, close to exact */
	__u64 bytes[2];
	__u8 state; /* enum ct_state */
	__u8 tcp_flags[2]; /* all that were seen, as opened and replies */
	__u8 pad;
	__u32 synced; /* of a translated connection: when its other entry was told last, low half of jiffies */
	struct nat nat; /* by CT_FLAG_TRANSLATED */
};

/* Where the later fragments of a datagram find the ports of the first. */
struct fragment_key {
	__u8 source[16];
	__u8 destination[16];
	__u32 id;
	__u8 protocol; /* 0 for IPv6: the fragment header may name an extension header (RFC 8200, 4.5) */
	__u8 family;
	__u8 pad[2];
};

struct fragment {
	__be16 source_port;
	__be16 destination_port;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 protocol;
	__u8 pad;
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

/* Events of one CPU since the start. Written counts also pace the wake-ups of the reader. */
struct event_tally {
	__u64 written;
	__u64 lost; /* the ring was full */
	__u64 held_back; /* denials that the limit of their flow kept from being told one by one */
};

/* Rows of the metrics array: reason * METRICS_DIRECTIONS + direction. */
enum metrics_layout {
	METRICS_LAYOUT_DIRECTIONS = 3,
	METRICS_LAYOUT_ROWS = 768,
};

/* One verdict. A rule number of 0: that direction was not judged. `packets` and `bytes`: of a close the totals of the
 * connection, as opened and replies; of a denial how many denied packets of the flow it stands for, itself and those
 * held back before it; else this packet.
 */
struct event {
	__u64 time; /* CLOCK_MONOTONIC, ns */
	__u8 source[16]; /* IPv4 mapped into ::ffff:0:0/96 */
	__u8 destination[16];
	__be16 source_port;
	__be16 destination_port;
	__u32 revision; /* that it was judged by */
	__u32 source_identity;
	__u32 destination_identity;
	__u32 egress_rule;
	__u32 ingress_rule;
	__u32 length; /* bytes from the IP header on */
	__u32 ifindex; /* where the packet was met */
	__u16 source_endpoint; /* rows of the endpoints array, 0: not on this host */
	__u16 destination_endpoint;
	__u8 family; /* 4 or 6 */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 direction; /* of the hook and, for a policy denial, of the rule that denied */
	__u8 verdict; /* enum verdict */
	__u8 reason; /* enum reason */
	__u8 status; /* enum ct_status */
	__u8 kind; /* enum event_kind */
	__u8 egress_shape; /* of the key that decided, see shape_prefix() in policy.h, plus 1; 0: not known */
	__u8 ingress_shape;
	__u8 pad;
	__u16 service; /* row of the service by which the source reached the destination, a backend; 0: none */
	__u8 pad2[6];
	__u64 packets[2]; /* of a staged judgement [1] is the rule of the active policies for egress */
	__u64 bytes[2]; /* and here for ingress */
};

/* Rows of denial_limits; row 0 is for flows that find their own row taken. A power of two. */
enum denial_layout {
	DENIAL_LAYOUT_ROWS = 2048,
	DENIAL_LAYOUT_OTHERS = 100, /* how many flows' share row 0 has */
};

/* How often denials of one flow were told lately, on one CPU. A flow: addresses, destination port or ICMP type, protocol,
 * reason and hook. What was held back is told by the next event of the flow, by the one that takes the row over, or, once
 * the flow is silent, by user space through tell_held_back().
 */
struct denial_limit {
	__u64 flow; /* hash; 0: free */
	__u64 since; /* jiffies: beginning of the second that `told` counts */
	__u64 held_packets;
	__u64 held_bytes;
	__u32 told;
	__u32 pad;
	struct event last; /* the newest event told of the flow */
};

/* What user space asks tell_held_back() for. */
struct held_back_request {
	__u32 row;
	__u32 cpu;
};

/* What user space asks tell_end() for: a connection by its key. */
struct end_request {
	struct ct6_key key; /* of IPv4 the bytes of a ct4_key at the beginning */
	__u32 family;
};

/* skb->mark of packets that a source's hook leaves to the stack. */
enum mark {
	MARK_MAGIC = 0x5F000000,
	MARK_MAGIC_MASK = 0x7F000000,
	MARK_ENDPOINT_MASK = 0x0000FFFF, /* row of the endpoint whose ingress was judged too; 0: egress only */
};
