/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From an address to who that is: whole addresses by hash, the rest by the LPM trie, a miss is world. */
#pragma once

#include "address.h"
#include "maps.h"
#include "slot.h"

#define IDENTITY_HOST 1
#define IDENTITY_WORLD 2
#define FAMILY_BITS 32

/* One end of a packet. Endpoint: row of the endpoints array, 0 if it is not on this host. */
struct party {
	__u32 identity;
	__u32 prefix_class;
	__u32 endpoint;
	__u32 is_subject; /* policies judge it here */
};

/* False where the record says nothing at this revision. */
__inline bool read_peer(const __u32 *row, __u32 revision, struct party *party)
{
	const struct peer_record *record = row ? bpf_map_lookup_elem(&peer_records, row) : 0;

	if (!record)
		return false;
	party->identity = slot_at(record->identity, revision);
	party->prefix_class = slot_at(record->prefix_class, revision);
	party->endpoint = slot_at(record->endpoint, revision);
	party->is_subject = party->endpoint != 0;
	return party->identity != 0;
}

__global int find_party(const struct address *address, __u32 family, __u32 revision, struct party *party)
{
	struct ipcache_exact_key exact;
	struct ipcache_key key = {};

	if (!address || !party)
		return 0;
	__builtin_memcpy(&exact, address, sizeof(exact));
	if (read_peer(bpf_map_lookup_elem(&ipcache_exact, &exact), revision, party))
		return 0;
	key.family = family;
	key.prefix_length = FAMILY_BITS + (family == 4 ? 32 : 128);
	if (family == 4)
		__builtin_memcpy(key.address, &address->words[3], 4);
	else
		__builtin_memcpy(key.address, address, 16);
	if (read_peer(bpf_map_lookup_elem(&ipcache, &key), revision, party))
		return 0;
	party->identity = IDENTITY_WORLD;
	party->prefix_class = 0;
	party->endpoint = 0;
	party->is_subject = 0;
	return 0;
}
