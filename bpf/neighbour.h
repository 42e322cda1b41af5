/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What passes unjudged, because no address could be resolved without it: ARP, neighbour and router solicitation and
 * neighbour advertisement, each with the endpoint's own addresses, and duplicate address detection. Router
 * advertisements and redirects from an endpoint would let it take over routes: they are dropped.
 */
#pragma once

#include "config.h"
#include "endpoint.h"
#include "ipcache.h"
#include "parse.h"

#define ND_ROUTER_SOLICITATION 133
#define ND_ROUTER_ADVERTISEMENT 134
#define ND_NEIGHBOUR_ADVERTISEMENT 136
#define ND_REDIRECT 137
#define ND_TARGET_OFFSET 8
#define ND_HOP_LIMIT 255
#define ARP_FORMAT_MASK 0xFFFFFFFFFFFFULL
#define ARP_ETHERNET_IPV4 0x040600080100ULL /* the offsets below hold for these lengths; as it lies in memory */
#define ARP_SENDER_OFFSET (ETH_HLEN + 14)
#define ARP_TARGET_OFFSET (ETH_HLEN + 24)

enum neighbour_result {
	NEIGHBOUR_JUDGE = -1, /* an ordinary packet */
};

__inline bool is_link_local(const struct address *address)
{
	return (address->words[0] & bpf_htonl(0xFFC00000)) == bpf_htonl(0xFE800000);
}

/* The endpoint's own; link-local addresses are its own too, since each endpoint has a link to itself. */
__inline bool is_own(const struct address *address, __u32 family, __u32 ifindex)
{
	struct party party = {};

	if (family == 6 && is_link_local(address))
		return true;
	find_party(address, family, active_revision, &party);
	return lives_at(party.endpoint, ifindex);
}

/* 0 or the reason to drop. Sender 0.0.0.0 is a probe (RFC 5227). */
__subprogram int check_arp(struct __sk_buff *skb, const struct hook *hook)
{
	__u32 offset = hook->direction == DIRECTION_EGRESS ? ARP_SENDER_OFFSET : ARP_TARGET_OFFSET;
	struct address address;
	__u64 header;
	__u32 ipv4;

	if (skb->protocol != bpf_htons(ETH_P_ARP))
		return REASON_UNSUPPORTED_L3;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &header, sizeof(header)) ||
	    (header & ARP_FORMAT_MASK) != ARP_ETHERNET_IPV4 || bpf_skb_load_bytes(skb, offset, &ipv4, sizeof(ipv4)))
		return REASON_INVALID_PACKET;
	map_ipv4(&address, ipv4);
	if ((ipv4 == 0 && hook->direction == DIRECTION_EGRESS) || is_own(&address, 4, hook->ifindex))
		return 0;
	return mismatch(hook->ifindex,
			hook->direction == DIRECTION_EGRESS ? REASON_INVALID_SOURCE : REASON_WRONG_INTERFACE);
}

__inline int check_solicitation(const struct packet *packet, const struct hook *hook)
{
	if (hook->direction == DIRECTION_INGRESS || is_unspecified(&packet->source) ||
	    is_own(&packet->source, 6, hook->ifindex))
		return 0;
	return mismatch(hook->ifindex, REASON_INVALID_SOURCE);
}

__inline int check_advertisement(struct __sk_buff *skb, const struct packet *packet, const struct hook *hook)
{
	struct address target;

	if (hook->direction == DIRECTION_INGRESS)
		return 0;
	if (bpf_skb_load_bytes(skb, packet->l4_offset + ND_TARGET_OFFSET, &target, sizeof(target)))
		return REASON_INVALID_PACKET;
	if (is_own(&target, 6, hook->ifindex) && is_own(&packet->source, 6, hook->ifindex))
		return 0;
	return mismatch(hook->ifindex, REASON_INVALID_SOURCE);
}

/* Neighbour discovery with a node that is not on the link would be a way out past the policy: such a packet is routed. */
__inline bool stays_on_link(const struct address *destination)
{
	struct party party = {};

	if (is_link_local(destination) || (destination->words[0] & bpf_htonl(0xFFFF0000)) == bpf_htonl(0xFF020000))
		return true;
	find_party(destination, 6, active_revision, &party);
	return party.identity == IDENTITY_HOST;
}

/* 0: pass unjudged; NEIGHBOUR_JUDGE; or the reason to drop. Forwarded copies do not have the hop limit. */
__subprogram int check_neighbour(struct __sk_buff *skb, const struct packet *packet, const struct hook *hook)
{
	if (hook->direction == DIRECTION_EGRESS &&
	    (packet->icmp_type == ND_ROUTER_ADVERTISEMENT || packet->icmp_type == ND_REDIRECT))
		return REASON_FORBIDDEN_ICMPV6;
	if (packet->icmp_type < ND_ROUTER_SOLICITATION || packet->icmp_type > ND_NEIGHBOUR_ADVERTISEMENT ||
	    packet->icmp_type == ND_ROUTER_ADVERTISEMENT)
		return NEIGHBOUR_JUDGE;
	if (packet->hop_limit != ND_HOP_LIMIT || packet->icmp_code)
		return REASON_INVALID_PACKET;
	if (hook->direction == DIRECTION_EGRESS && !stays_on_link(&packet->destination))
		return NEIGHBOUR_JUDGE;
	if (packet->icmp_type == ND_NEIGHBOUR_ADVERTISEMENT)
		return check_advertisement(skb, packet, hook);
	return check_solicitation(packet, hook);
}
