/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Services: which one a packet is for, and which backend a new connection goes to. All of it is read by one revision. */
#pragma once

#include "conntrack.h"
#include "endpoint.h"
#include "slot.h"

#define SOURCE_RANGE_BITS 64

/* What a service makes of a packet. */
struct choice {
	__u32 service; /* row; 0: the packet is for none */
	__u32 backend; /* row; 0: see reason */
	struct address address;
	__be16 port;
	__u8 reason; /* enum reason: why there is no backend */
	__u8 pad;
};

__inline bool may_be_for_service(const struct packet *packet)
{
	return packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP || packet->protocol == IPPROTO_SCTP;
}

/* Where the table of a service begins; 0: at this revision there is no such service. */
__inline __u32 table_of(__u32 row, __u32 revision)
{
	const struct service *service = bpf_map_lookup_elem(&service_records, &row);

	return row && service ? slot_at(service->table, revision) : 0;
}

__inline __u32 table_word(__u32 table, __u32 at)
{
	const __u64 *word;

	at += table;
	word = bpf_map_lookup_elem(&service_tables, &at);
	return word ? *word : 0;
}

__inline __u32 table_at(const struct service_key *key, __u32 revision, __u32 *row)
{
	const __u32 *found = bpf_map_lookup_elem(&services, key);

	if (!found)
		return 0;
	*row = *found;
	return table_of(*found, revision);
}

/* The table of the service that the packet is addressed to, 0 if to none. From outside a frontend may have its own. */
__inline __u32 find_service(const struct packet *packet, const struct hook *hook, __u32 revision, __u32 *row)
{
	struct service_key key = {.port = packet->destination_port, .protocol = packet->protocol};
	__u32 table = 0;

	__builtin_memcpy(key.address, &packet->destination, sizeof(key.address));
	if (hook->uplink) {
		key.scope = SERVICE_SCOPE_OUTSIDE;
		table = table_at(&key, revision, row);
		key.scope = SERVICE_SCOPE_ANY;
	}
	if (!table)
		table = table_at(&key, revision, row);
	if (!table) {
		key.port = 0;
		key.protocol = 0;
		table = table_at(&key, revision, row);
	}
	return table;
}

/* Whether the row is that address of that state at the revision: rows are used again. */
__inline bool backend_is(const struct backend *backend, const struct address *address, __be16 port, __u32 revision)
{
	return backend && backend->port == port && same_address((const struct address *)backend->address, address) &&
	       slot_at(backend->state, revision) != BACKEND_STATE_ABSENT;
}

/* Whether the connections of a backend go on. */
__inline bool backend_lives(__u32 row, const struct address *address, __be16 port, __u32 revision)
{
	return row && backend_is(bpf_map_lookup_elem(&backends, &row), address, port, revision);
}

__inline bool is_in_source_ranges(const struct packet *packet, __u32 table)
{
	struct source_range_key key = {.table = table, .family = packet->family};

	key.prefix_length = SOURCE_RANGE_BITS + (packet->family == 4 ? 32 : 128);
	if (packet->family == 4)
		__builtin_memcpy(key.address, &packet->source.words[3], 4);
	else
		__builtin_memcpy(key.address, &packet->source, 16);
	return bpf_map_lookup_elem(&source_ranges, &key) != 0;
}

/* Why the table gives this packet no backend at all, whichever it would be; 0 if it may. */
__inline int refusal(const struct packet *packet, const struct hook *hook, __u32 table, __u32 flags)
{
	if (flags & SERVICE_FLAG_INSIDE && hook->uplink)
		return REASON_CLUSTER_ADDRESS;
	if (flags & SERVICE_FLAG_NO_PORT)
		return REASON_UNKNOWN_SERVICE_PORT;
	if (flags & SERVICE_FLAG_SOURCE_RANGES && !is_in_source_ranges(packet, table))
		return REASON_SOURCE_RANGE;
	return table_word(table, SERVICE_TABLE_WORD_COUNT) ? 0 : REASON_NO_BACKEND;
}

/* The backend that the client was given lately; 0 if that is none or too long ago, or the backend takes no more. */
__inline __u32 affine_backend(const struct affinity_key *key, __u32 table, __u32 revision)
{
	const struct affinity *affinity = bpf_map_lookup_elem(&affinities, key);
	__u64 most = (__u64)table_word(table, SERVICE_TABLE_WORD_AFFINITY) * jiffies_per_second;
	const struct backend *backend;
	__u32 row;

	if (!affinity || bpf_jiffies64() - affinity->last_used > most)
		return 0;
	row = affinity->backend;
	backend = bpf_map_lookup_elem(&backends, &row);
	if (!backend || backend->group != table_word(table, SERVICE_TABLE_WORD_GROUP))
		return 0;
	return slot_at(backend->state, revision) == BACKEND_STATE_ACTIVE ? row : 0;
}

/* As large as the tables of Maglev want it: high bits of a hash over all of the client's tuple. */
__inline __u32 tuple_hash(const struct packet *packet)
{
	__u64 ports = (__u64)packet->source_port << 32 | (__u64)packet->destination_port << 16 | packet->protocol;
	__u64 hash = mix(mix(ports, packet->source.halves[0]), packet->source.halves[1]);

	return mix(mix(hash, packet->destination.halves[0]), packet->destination.halves[1]) >> 32;
}

__inline __u32 backend_of_table(const struct packet *packet, __u32 table, __u32 flags)
{
	__u64 any = flags & SERVICE_FLAG_MAGLEV ? tuple_hash(packet) : bpf_get_prandom_u32();
	__u32 at = any * table_word(table, SERVICE_TABLE_WORD_COUNT) >> 32;

	return table_word(table, SERVICE_TABLE_WORD_ENTRIES + at);
}

__inline void remember_client(const struct affinity_key *key, __u32 backend)
{
	struct affinity affinity = {.last_used = bpf_jiffies64(), .backend = backend};

	bpf_map_update_elem(&affinities, key, &affinity, BPF_ANY);
}

__inline __u32 pick_backend(const struct packet *packet, __u32 table, __u32 service, __u32 revision, __u32 flags)
{
	struct affinity_key key = {.service = service};
	__u32 row = 0;

	__builtin_memcpy(key.client, &packet->source, sizeof(key.client));
	if (flags & SERVICE_FLAG_AFFINITY)
		row = affine_backend(&key, table, revision);
	if (!row)
		row = backend_of_table(packet, table, flags);
	if (row && flags & SERVICE_FLAG_AFFINITY)
		remember_client(&key, row);
	return row;
}

/* The service that the packet is for, and a backend for it or why there is none. `choice` is all zero where the packet is
 * for no service.
 */
__global int choose_backend(const struct packet *packet, const struct hook *hook, __u32 revision, struct choice *choice)
{
	const struct backend *backend;
	__u32 table, flags, row = 0;

	if (!packet || !hook || !choice)
		return 0;
	__builtin_memset(choice, 0, sizeof(*choice));
	table = find_service(packet, hook, revision, &row);
	if (!table)
		return 0;
	choice->service = row;
	flags = table_word(table, SERVICE_TABLE_WORD_FLAGS);
	choice->reason = refusal(packet, hook, table, flags);
	if (choice->reason)
		return 0;
	row = pick_backend(packet, table, row, revision, flags);
	backend = row ? bpf_map_lookup_elem(&backends, &row) : 0;
	if (!backend || slot_at(backend->state, revision) == BACKEND_STATE_ABSENT) {
		choice->reason = REASON_NO_BACKEND;
		return 0;
	}
	choice->backend = row;
	__builtin_memcpy(&choice->address, backend->address, sizeof(choice->address));
	choice->port = backend->port;
	return 0;
}
