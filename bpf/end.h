/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ends of connections that no packet shows: time ran out, or another connection begins by the same tuple. They are told
 * with the totals, from the conntrack entry alone, as the side that opened the connection would have sent the packet.
 */
#pragma once

#include "conntrack.h"
#include "endpoint.h"
#include "report.h"

/* The rule that a record names now: an entry in conntrack keeps the record. */
__inline __u32 rule_of_record(__u32 record, __u32 revision)
{
	const struct policy_record *row = bpf_map_lookup_elem(&policy_records, &record);

	return row ? slot_at(row->rule, revision) : 0;
}

/* The decision that an entry remembers, for a packet of its connection. */
__inline void decide_as_before(const struct ct_entry *entry, __u64 endpoints, __u64 verdict, __u8 reply,
			       struct decision *decision)
{
	struct party opener = {.identity = entry->source_identity, .endpoint = ct_source_endpoint(endpoints)};
	struct party responder = {.identity = entry->destination_identity,
				  .endpoint = ct_destination_endpoint(endpoints)};

	decision->source = reply ? responder : opener;
	decision->destination = reply ? opener : responder;
	decision->revision = verdict >> 32;
	decision->egress.record = entry->egress_record;
	decision->ingress.record = entry->ingress_record;
	decision->egress.rule = rule_of_record(entry->egress_record, decision->revision);
	decision->ingress.rule = rule_of_record(entry->ingress_record, decision->revision);
	decision->service = verdict & CT_FLAG_TRANSLATED ? entry->nat.service : 0;
	decision->status = reply ? CT_STATUS_REPLY : CT_STATUS_ESTABLISHED;
}

__inline __u8 protocol_of(const struct end_request *request)
{
	const struct ct4_key *v4 = (const void *)&request->key;

	return request->family == 4 ? v4->protocol : request->key.protocol;
}

__inline void addresses_of_key(const struct end_request *request, struct address *low, struct address *high)
{
	const struct ct4_key *v4 = (const void *)&request->key;

	if (request->family == 4) {
		map_ipv4(low, *(const __u32 *)v4->low_address);
		map_ipv4(high, *(const __u32 *)v4->high_address);
		return;
	}
	__builtin_memcpy(low, request->key.low_address, sizeof(*low));
	__builtin_memcpy(high, request->key.high_address, sizeof(*high));
}

/* A packet as the opener would have sent it; without flags or length. */
__inline void opening_packet(const struct end_request *request, bool from_high, struct packet *packet)
{
	const struct ct4_key *v4 = (const void *)&request->key;
	__be16 low_port = request->family == 4 ? v4->low_port : request->key.low_port;
	__be16 high_port = request->family == 4 ? v4->high_port : request->key.high_port;

	if (from_high)
		addresses_of_key(request, &packet->destination, &packet->source);
	else
		addresses_of_key(request, &packet->source, &packet->destination);
	packet->source_port = from_high ? high_port : low_port;
	packet->destination_port = from_high ? low_port : high_port;
	packet->family = request->family;
	packet->protocol = protocol_of(request);
	if (packet->protocol == IPPROTO_ICMP)
		packet->icmp_type = ICMP_ECHO;
	if (packet->protocol == IPPROTO_ICMPV6)
		packet->icmp_type = ICMPV6_ECHO_REQUEST;
}

/* Who tells an end. User space's call may be interrupted by a packet on its CPU. */
enum teller {
	TELLER_PACKET = 0,
	TELLER_USER_SPACE = 1,
};

/* What is too large for the stack of nested calls. */
struct end_scratch {
	struct packet packet;
	struct decision decision;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct end_scratch);
} end_scratch SEC(".maps");

/* Tells the end of an entry's connection and marks it as told. Returns 1. */
__global int write_end(const struct end_request *request, struct ct_entry *entry, enum teller teller)
{
	const struct endpoint *source, *destination, *at;
	struct end_scratch *scratch;
	struct decision *decision;
	__u32 row = teller;

	scratch = bpf_map_lookup_elem(&end_scratch, &row);
	if (!request || !entry || !scratch)
		return 0;
	__builtin_memset(scratch, 0, sizeof(*scratch));
	decision = &scratch->decision;
	opening_packet(request, entry->verdict & CT_FLAG_FROM_HIGH, &scratch->packet);
	decide_as_before(entry, entry->endpoints, entry->verdict, 0, decision);
	source = live_endpoint(decision->source.endpoint);
	destination = live_endpoint(decision->destination.endpoint);
	at = source ?: destination;
	decision->direction = source ? DIRECTION_EGRESS : DIRECTION_INGRESS;
	decision->kind = EVENT_KIND_CLOSE;
	if (wanted_of(source, destination) <= AGGREGATION_CONNECTIONS)
		write_event(&scratch->packet, decision, at ? at->ifindex : 0, entry);
	entry->state |= CT_STATE_TOLD;
	return 1;
}

/* The connection that the packet's tuple had before. */
__subprogram int tell_replaced(const struct packet *packet, struct ct_lookup *ct)
{
	struct end_request request = {.family = packet->family};

	if (!ct->ended)
		return 0;
	if (packet->family == 4)
		__builtin_memcpy(&request.key, &ct->key.v4, sizeof(ct->key.v4));
	else
		__builtin_memcpy(&request.key, &ct->key.v6, sizeof(ct->key.v6));
	return write_end(&request, ct->ended, TELLER_PACKET);
}
