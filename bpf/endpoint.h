/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The workloads of this host: whose interface and whose address it is. */
#pragma once

#include "config.h"
#include "ipcache.h"
#include "maps.h"

/* Where a program was called. */
struct hook {
	__u32 ifindex;
	__u8 direction; /* enum direction: egress from the endpoint, ingress towards it */
	__u8 from_source_hook; /* egress was judged where the packet came from, or is not the node's; not here */
	__u8 uplink;        /* not at an endpoint's interface, but where packets from outside come in */
	__u8 pad;
};

/* 0 for row 0 and for a row whose interface is gone. */
__inline const struct endpoint *live_endpoint(__u32 row)
{
	const struct endpoint *endpoint;

	if (row == 0)
		return 0;
	endpoint = bpf_map_lookup_elem(&endpoints, &row);
	return endpoint && endpoint->ifindex ? endpoint : 0;
}

__inline bool lives_at(__u32 row, __u32 ifindex)
{
	const struct endpoint *endpoint = live_endpoint(row);

	return endpoint && endpoint->ifindex == ifindex;
}

/* What an endpoint wants told. */
__inline __u32 aggregation_of(const struct endpoint *endpoint)
{
	return endpoint->aggregation == AGGREGATION_HOST ? event_aggregation : endpoint->aggregation;
}

/* Of two the one that wants more decides; of none the host's setting. */
__inline __u32 wanted_of(const struct endpoint *source, const struct endpoint *destination)
{
	__u32 first = source ? aggregation_of(source) : AGGREGATION_OFF;
	__u32 second = destination ? aggregation_of(destination) : AGGREGATION_OFF;

	if (!source && !destination)
		return event_aggregation;
	return first < second ? first : second;
}

/* Row of the endpoint whose interface it is; 0 if none is recorded. */
__inline __u32 endpoint_at(__u32 ifindex)
{
	const __u32 *row = bpf_map_lookup_elem(&interfaces, &ifindex);

	return row ? *row : 0;
}

/* What is wanted of packets met at an interface whose ends are not known. */
__inline __u32 wanted_at(__u32 ifindex)
{
	return wanted_of(live_endpoint(endpoint_at(ifindex)), 0);
}

__inline int mismatch(__u32 ifindex, __u8 reason)
{
	return endpoint_at(ifindex) ? reason : REASON_NO_ENDPOINT;
}

/* 0, or why a packet between these two may not be at this hook: an endpoint sends with its own addresses only, and is
 * given only what is addressed to it; a local source that did not pass its own hook is forged.
 */
__inline int check_ends(const struct hook *hook, const struct party *source, const struct party *destination)
{
	if (hook->uplink)
		return source->endpoint ? REASON_INVALID_SOURCE : 0;
	if (hook->direction == DIRECTION_EGRESS) {
		if (!lives_at(source->endpoint, hook->ifindex))
			return mismatch(hook->ifindex, REASON_INVALID_SOURCE);
		return destination->endpoint && !live_endpoint(destination->endpoint) ? REASON_TARGET_GONE : 0;
	}
	if (!lives_at(destination->endpoint, hook->ifindex))
		return mismatch(hook->ifindex, REASON_WRONG_INTERFACE);
	return source->endpoint && !hook->from_source_hook ? REASON_INVALID_SOURCE : 0;
}
