/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Later fragments carry no ports: they take those of the first, and so follow its verdict. */
#pragma once

#include "maps.h"
#include "parse.h"

__inline void fragment_key_of(const struct packet *packet, struct fragment_key *key)
{
	__builtin_memcpy(key->source, &packet->source, sizeof(key->source));
	__builtin_memcpy(key->destination, &packet->destination, sizeof(key->destination));
	key->id = packet->fragment_id;
	key->protocol = packet->family == 4 ? packet->protocol : 0;
	key->family = packet->family;
	key->pad[0] = 0;
	key->pad[1] = 0;
}

__inline int remember_first(const struct packet *packet, const struct fragment_key *key)
{
	struct fragment first = {
		.source_port = packet->source_port,
		.destination_port = packet->destination_port,
		.icmp_type = packet->icmp_type,
		.icmp_code = packet->icmp_code,
		.protocol = packet->protocol,
	};

	return bpf_map_update_elem(&fragments, key, &first, BPF_ANY) ? REASON_FRAGMENT_TRACKING : 0;
}

/* Remembers a first fragment, completes a later one. 0 or the reason to drop. */
__subprogram int track_fragment(struct packet *packet)
{
	const struct fragment *first;
	struct fragment_key key;

	fragment_key_of(packet, &key);
	if (packet->flags & PACKET_FIRST_FRAGMENT)
		return remember_first(packet, &key);
	first = bpf_map_lookup_elem(&fragments, &key);
	if (!first)
		return REASON_FRAGMENT_WITHOUT_FIRST;
	packet->protocol = first->protocol;
	if (packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6) {
		packet->icmp_type = first->icmp_type;
		packet->icmp_code = first->icmp_code;
		classify_icmp(packet, first->source_port);
		packet->flags &= ~PACKET_ICMP_ERROR; /* the quoted packet is not here */
		return 0;
	}
	packet->source_port = first->source_port;
	packet->destination_port = first->destination_port;
	return 0;
}
