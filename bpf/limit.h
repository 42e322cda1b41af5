/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The limit on denials told: a flood of one flow must not drown the rest. Each flow has a row of a per-CPU array, where a
 * hash places it, and so many events a second; what is held back is counted and told by the flow's next event.
 */
#pragma once

#include "config.h"
#include "conntrack.h"
#include "decision.h"
#include "maps.h"
#include "parse.h"

#define OTHERS 0

/* What an event may say of packets held back before it. */
struct held_back {
	__u64 packets;
	__u64 bytes;
};

__inline __u64 denied_flow(const struct packet *packet, const struct decision *decision)
{
	__u64 port = packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6 ? packet->icmp_type
											    : packet->destination_port;
	__u64 flow =
		port | (__u64)packet->protocol << 16 | (__u64)decision->reason << 24 | (__u64)decision->direction << 32;

	flow = mix(mix(flow, packet->source.halves[0]), packet->source.halves[1]);
	return mix(mix(flow, packet->destination.halves[0]), packet->destination.halves[1]) | 1;
}

/* The exchange is whole against tell_held_back() on another CPU: each held packet is told once. */
__inline void take_held_back(struct denial_limit *limit, struct held_back *held)
{
	held->packets = 0;
	held->bytes = 0;
	if (!limit->held_packets)
		return;
	held->packets = __sync_lock_test_and_set(&limit->held_packets, 0);
	held->bytes = __sync_lock_test_and_set(&limit->held_bytes, 0);
}

__inline void hold_back(struct denial_limit *limit, __u64 packets, __u64 bytes)
{
	__sync_fetch_and_add(&limit->held_packets, packets);
	__sync_fetch_and_add(&limit->held_bytes, bytes);
}

/* The row that a flow is counted in. One that another flow took within this second is left to it: `row` is then that of
 * all others.
 */
__inline struct denial_limit *limit_of(__u64 flow, __u64 now, __u32 *row)
{
	struct denial_limit *limit;

	*row = (flow >> 32) & (DENIAL_LAYOUT_ROWS - 1);
	limit = bpf_map_lookup_elem(&denial_limits, row);
	if (!limit || *row == OTHERS || limit->flow == flow || now - limit->since >= jiffies_per_second)
		return limit;
	*row = OTHERS;
	return bpf_map_lookup_elem(&denial_limits, row);
}

/* True if one more denial may be told in this second. */
__inline bool may_tell(struct denial_limit *limit, __u32 row, __u64 now)
{
	__u32 most = row == OTHERS ? denials_per_second * DENIAL_LAYOUT_OTHERS : denials_per_second;

	if (now - limit->since >= jiffies_per_second) {
		limit->since = now;
		limit->told = 0;
	}
	if (limit->told >= most)
		return false;
	limit->told++;
	return true;
}
