/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The prefilter: at XDP of an uplink, before the kernel has made anything of a packet, sources on a list of prefixes are
 * dropped. The list in force is the one of a number; replacing it is one store of another number.
 */
#pragma once

#include "abi.h"
#include "address.h"
#include "bpf.h"
#include "decision.h"
#include "parse.h"
#include "report.h"

#define PREFILTER_LIST_BITS 32
#define MOST_VLAN_TAGS 2

/* Prefixes of both families, each with what it has dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2097152);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefilter_key);
	__type(value, struct counter);
} prefilter SEC(".maps");

/* What is too large for the stack beside write_event's. */
struct prefilter_scratch {
	struct packet packet;
	struct decision decision;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct prefilter_scratch);
} prefilter_scratch SEC(".maps");

struct vlan_tag {
	__be16 control;
	__be16 protocol;
};

/* Where the IP header begins and of which protocol it is; 0 for frames that end before. */
__inline void *past_ethernet(void *data, void *end, __be16 *protocol)
{
	struct ethhdr *ethernet = data;
	void *at = ethernet + 1;

	if (at > end)
		return 0;
	*protocol = ethernet->h_proto;
	for (int tag = 0; tag < MOST_VLAN_TAGS; tag++) {
		struct vlan_tag *found = at;

		if (*protocol != bpf_htons(ETH_P_8021Q) && *protocol != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(found + 1) > end)
			return 0;
		*protocol = found->protocol;
		at = found + 1;
	}
	return at;
}

__inline void glance_at_ports(void *at, void *end, struct packet *packet)
{
	__be16 *ports = at;

	if ((void *)(ports + 2) > end)
		return;
	if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP || packet->protocol == IPPROTO_SCTP) {
		packet->source_port = ports[0];
		packet->destination_port = ports[1];
	}
}

/* Who sends to whom; what lies beyond the first header is read as far as it can be without looking further. */
__inline bool read_ends(void *at, void *end, __be16 protocol, struct packet *packet)
{
	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = at;

		if ((void *)(ip + 1) > end)
			return false;
		packet->family = 4;
		packet->protocol = ip->protocol;
		packet->length = bpf_ntohs(ip->tot_len);
		map_ipv4(&packet->source, ip->saddr);
		map_ipv4(&packet->destination, ip->daddr);
		if (ip->ihl == 5 && !(ip->frag_off & bpf_htons(0x1FFF)))
			glance_at_ports(ip + 1, end, packet);
		return true;
	}
	if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = at;

		if ((void *)(ip + 1) > end)
			return false;
		packet->family = 6;
		packet->protocol = ip->nexthdr;
		packet->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
		__builtin_memcpy(&packet->source, &ip->saddr, sizeof(packet->source));
		__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
		glance_at_ports(ip + 1, end, packet);
		return true;
	}
	return false;
}

/* The source as keys have it; an IPv4 address is mapped where packets have it. */
__inline void prefix_address(const struct packet *packet, __u8 address[16])
{
	if (packet->family == 4)
		__builtin_memcpy(address, (const __u8 *)&packet->source + 12, 4);
	else
		__builtin_memcpy(address, &packet->source, 16);
}

__inline void count_dropped(struct counter *counter, __u32 length)
{
	__sync_fetch_and_add(&counter->packets, 1);
	__sync_fetch_and_add(&counter->bytes, length);
}

__inline void tell_prefiltered(const struct packet *packet, __u32 ifindex, struct decision *decision)
{
	__builtin_memset(decision, 0, sizeof(*decision));
	decision->revision = active_revision;
	decision->reason = REASON_PREFILTER;
	decision->direction = DIRECTION_INGRESS;
	count_reason(REASON_PREFILTER, DIRECTION_INGRESS, packet->length);
	if (event_aggregation < AGGREGATION_OFF)
		write_event(packet, decision, ifindex, 0);
}

/* At XDP of an uplink: what comes from outside. */
SEC("xdp.frags")
int from_outside(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct prefilter_key key = {.prefix_length = PREFILTER_LIST_BITS + 8 * sizeof(struct address)};
	struct prefilter_scratch *scratch;
	struct counter *found;
	__u32 row = 0;
	__be16 protocol;

	key.list = prefilter_list;
	scratch = bpf_map_lookup_elem(&prefilter_scratch, &row);
	if (!key.list || !scratch)
		return XDP_PASS;
	data = past_ethernet(data, end, &protocol);
	if (!data)
		return XDP_PASS;
	__builtin_memset(&scratch->packet, 0, sizeof(scratch->packet));
	if (!read_ends(data, end, protocol, &scratch->packet))
		return XDP_PASS;
	key.family = scratch->packet.family;
	prefix_address(&scratch->packet, key.address);
	found = bpf_map_lookup_elem(&prefilter, &key);
	if (!found)
		return XDP_PASS;
	count_dropped(found, scratch->packet.length);
	tell_prefiltered(&scratch->packet, context->ingress_ifindex, &scratch->decision);
	return XDP_DROP;
}
