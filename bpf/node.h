/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The node as an endpoint: which packets at an uplink are its own, to be judged by policies for nodes. What the node and its
 * workloads say to each other passes no uplink and is never judged by these; what is forwarded is not the node's either,
 * though source translation by others than this object may have given it the node's address.
 */
#pragma once

#include "endpoint.h"
#include "policy.h"

/* What a link's neighbours and routers need (RFC 4890, 4.4.1): listeners, neighbour discovery and its inverse, secure
 * neighbour discovery, multicast routers.
 */
__inline bool keeps_the_link(const struct packet *packet)
{
	__u8 type = packet->icmp_type;

	if (packet->protocol != IPPROTO_ICMPV6)
		return false;
	return (type >= 130 && type <= 137) || (type >= 141 && type <= 143) || type == 148 || type == 149 ||
	       (type >= 151 && type <= 153);
}

/* Whether policies for nodes are in force here. */
__inline bool node_is_judged(void)
{
	return has_default(IDENTITY_HOST, active_revision);
}

/* Whether a packet at an uplink is to be judged as the node's own. */
__subprogram int is_the_node_to_judge(const struct packet *packet, const struct hook *hook)
{
	struct party party = {};

	if (!node_is_judged() || keeps_the_link(packet))
		return false;
	find_party(hook->direction == DIRECTION_INGRESS ? &packet->destination : &packet->source, packet->family,
		   active_revision, &party);
	return party.identity == IDENTITY_HOST && !party.endpoint;
}
