/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way on for a packet that may pass: straight to the endpoint it is for, or to the stack with a mark that tells the
 * destination's hook what is already judged.
 */
#pragma once

#include <linux/pkt_cls.h>

#include "endpoint.h"
#include "parse.h"

/* Lets programs attached behind this one see the packet; with nothing behind, it passes. */
#define PASS TC_ACT_UNSPEC
#define DROP TC_ACT_SHOT
/* No action: the receiver's interface went while the packet was judged. */
#define GONE 255

/* The checksum's complement grows by one in the high byte as the TTL falls by one (RFC 1141). */
__inline bool decrement_ttl(void *l3, void *end, __u8 family)
{
	struct ipv6hdr *ipv6 = l3;
	struct iphdr *ipv4 = l3;
	__u32 check;

	if ((void *)(ipv4 + 1) > end)
		return false;
	if (family == 4) {
		check = ipv4->check + bpf_htons(0x0100);
		ipv4->check = check + (check >= 0xFFFF);
		ipv4->ttl--;
		return true;
	}
	ipv6->hop_limit--;
	return true;
}

__inline bool readdress(struct __sk_buff *skb, const struct packet *packet, const struct endpoint *endpoint)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *header = (void *)(long)skb->data;

	if ((void *)(header + 1) > end || !decrement_ttl(header + 1, end, packet->family))
		return false;
	__builtin_memcpy(header->h_dest, endpoint->mac, sizeof(endpoint->mac));
	__builtin_memcpy(header->h_source, endpoint->host_mac, sizeof(endpoint->host_mac));
	return true;
}

/* An action, or GONE. A packet at the end of its hops goes to the stack, which answers that. */
__inline int deliver(struct __sk_buff *skb, const struct packet *packet, __u32 row)
{
	const struct endpoint *endpoint = live_endpoint(row);

	if (!endpoint) {
		skb->mark = MARK_MAGIC;
		return row ? GONE : PASS;
	}
	/* What goes back to the endpoint that it comes from bears an address that no route leads from. */
	if ((endpoint->delivery != DELIVERY_STACK || endpoint->ifindex == skb->ifindex) && packet->hop_limit > 1 &&
	    readdress(skb, packet, endpoint)) {
		if (endpoint->delivery == DELIVERY_PEER)
			return bpf_redirect_peer(endpoint->ifindex, 0);
		skb->mark = MARK_MAGIC | (row & MARK_ENDPOINT_MASK);
		return bpf_redirect(endpoint->ifindex, 0);
	}
	skb->mark = MARK_MAGIC | (row & MARK_ENDPOINT_MASK);
	return PASS;
}
