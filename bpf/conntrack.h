/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Allowed connections: one entry for both directions, found by the ordered tuple, with the verdict and the revision that
 * gave it. An LRU map recycles elements under a reader, so the words that decide carry a tag of the tuple, and what an
 * entry says is replaced as a whole; only the verdict's revision is renewed in place, by compare-and-swap.
 */
#pragma once

#include "config.h"
#include "maps.h"
#include "parse.h"

union ct_key {
	struct ct4_key v4;
	struct ct6_key v6;
	__u64 words[5];
};

/* A packet's place in conntrack. */
struct ct_lookup {
	union ct_key key;
	__u32 tag;
	bool from_high; /* the packet comes from the side that is high in the key */
	__u8 reply; /* 1: it travels against the opening direction; set where entry is */
	struct ct_entry *entry; /* 0: none that lives */
	struct ct_entry *ended; /* one that lives no more and whose end nobody told; else 0 */
	__u64 verdict; /* the entry's words as they were read */
	__u64 endpoints;
};

#define CT_TAG_MASK 0xFFFFFF

__inline __u64 mix(__u64 state, __u64 word)
{
	state = (state ^ word) * 0x9E3779B97F4A7C15ULL;
	return state ^ (state >> 29);
}

__inline bool source_is_high(const struct packet *packet)
{
	__u64 source, destination;

	if (packet->family == 4) {
		source = (__u64)packet->source.words[3] << 16 | packet->source_port;
		destination = (__u64)packet->destination.words[3] << 16 | packet->destination_port;
		return source > destination;
	}
	if (packet->source.halves[0] != packet->destination.halves[0])
		return packet->source.halves[0] > packet->destination.halves[0];
	if (packet->source.halves[1] != packet->destination.halves[1])
		return packet->source.halves[1] > packet->destination.halves[1];
	return packet->source_port > packet->destination_port;
}

/* An echo belongs to who asks, so that two hosts that ping each other with one identifier have two entries. */
__inline __u8 echo_from_high(const struct packet *packet, bool from_high)
{
	if (packet->flags & PACKET_ECHO_REQUEST)
		return from_high;
	return packet->flags & PACKET_ECHO_REPLY ? !from_high : 0;
}

/* Ports, protocol and echo side as they lie at the end of both keys. Keys are put together in registers and stored by
 * whole words: a word that is loaded right after its parts were stored waits for them.
 */
__inline __u64 ct_key_tail(const struct packet *packet, bool from_high)
{
	__u64 low = from_high ? packet->destination_port : packet->source_port;
	__u64 high = from_high ? packet->source_port : packet->destination_port;

	return low | high << 16 | (__u64)packet->protocol << 32 | (__u64)echo_from_high(packet, from_high) << 40;
}

__inline void fill_ct4_key(const struct packet *packet, struct ct_lookup *ct)
{
	__u64 source = packet->source.words[3];
	__u64 destination = packet->destination.words[3];
	__u64 addresses = ct->from_high ? destination | source << 32 : source | destination << 32;
	__u64 tail = ct_key_tail(packet, ct->from_high);

	ct->key.words[0] = addresses;
	ct->key.words[1] = tail;
	ct->tag = mix(mix(0, addresses), tail) >> 32;
}

__inline void fill_ct6_key(const struct packet *packet, struct ct_lookup *ct)
{
	const struct address *low = ct->from_high ? &packet->destination : &packet->source;
	const struct address *high = ct->from_high ? &packet->source : &packet->destination;
	__u64 tail = ct_key_tail(packet, ct->from_high);

	ct->key.words[0] = low->halves[0];
	ct->key.words[1] = low->halves[1];
	ct->key.words[2] = high->halves[0];
	ct->key.words[3] = high->halves[1];
	ct->key.words[4] = tail;
	ct->tag = mix(mix(mix(mix(mix(0, low->halves[0]), low->halves[1]), high->halves[0]), high->halves[1]), tail) >>
		  32;
}

__inline __u64 ct_timeout(const struct ct_entry *entry, __u8 protocol)
{
	if (protocol != IPPROTO_TCP)
		return ct_timeout_any;
	if (entry->state & CT_STATE_CLOSING)
		return ct_timeout_tcp_closing;
	return entry->state & (CT_STATE_REPLIED | CT_STATE_RECREATED) ? ct_timeout_tcp : ct_timeout_tcp_syn;
}

/* What was seen in this very tick needs no arithmetic: most packets of a busy flow. */
__inline bool ct_expired(const struct ct_entry *entry, __u8 protocol)
{
	__u64 idle = bpf_jiffies64() - entry->last_seen;

	return unlikely(idle) && idle > ct_timeout(entry, protocol) * jiffies_per_second;
}

/* The tags are checked after both words are read: an element that was given to another tuple meanwhile is a miss. */
__inline bool ct_is_ours(const struct ct_lookup *ct)
{
	return ((ct->verdict >> 8) & CT_TAG_MASK) == (ct->tag & CT_TAG_MASK) && ct->endpoints >> 32 == ct->tag;
}

/* A SYN that opens a connection anew: against the direction of the one remembered, or after its end. */
__inline bool ct_reopens(const struct ct_lookup *ct, const struct packet *packet)
{
	if (packet->protocol != IPPROTO_TCP || (packet->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return false;
	return ct->reply || ct->entry->state & CT_STATE_CLOSING;
}

/* Whether a connection's end was seen: RST, or FIN of both sides. */
__inline bool ct_closed(__u8 forth, __u8 back)
{
	return (forth | back) & TCP_RST || forth & back & TCP_FIN;
}

/* Whether this packet is the one that ends its connection. */
__inline bool ct_closes(const struct ct_entry *entry, const struct packet *packet, __u8 reply)
{
	__u32 way = reply & 1;
	__u8 forth = entry->tcp_flags[way], back = entry->tcp_flags[!way];

	return !ct_closed(forth, back) && ct_closed(forth | packet->tcp_flags, back);
}

/* The end of a connection through a service is told by its backend's entry. */
__inline bool ct_end_is_untold(const struct ct_entry *entry)
{
	return !(entry->verdict & CT_FLAG_FRONTEND) && !(entry->state & CT_STATE_TOLD) &&
	       !ct_closed(entry->tcp_flags[0], entry->tcp_flags[1]);
}

__inline void ct_find(const struct packet *packet, struct ct_lookup *ct)
{
	ct->from_high = source_is_high(packet);
	ct->reply = false;
	ct->ended = 0;
	if (packet->family == 4) {
		fill_ct4_key(packet, ct);
		ct->entry = bpf_map_lookup_elem(&ct4, &ct->key.v4);
	} else {
		fill_ct6_key(packet, ct);
		ct->entry = bpf_map_lookup_elem(&ct6, &ct->key.v6);
	}
	if (!ct->entry)
		return;
	ct->verdict = *(volatile __u64 *)&ct->entry->verdict;
	ct->endpoints = *(volatile __u64 *)&ct->entry->endpoints;
	ct->reply = ct->from_high != !!(ct->verdict & CT_FLAG_FROM_HIGH);
	if (likely(ct_is_ours(ct) && !ct_expired(ct->entry, packet->protocol) && !ct_reopens(ct, packet)))
		return;
	if (ct_is_ours(ct) && ct_end_is_untold(ct->entry))
		ct->ended = ct->entry;
	ct->entry = 0;
	ct->reply = false;
}

/* What an entry translates to, into `nat`. False: the element was given to another tuple meanwhile. */
__inline bool ct_take_nat(const struct ct_lookup *ct, struct nat *nat)
{
	*nat = ct->entry->nat;
	return *(const volatile __u64 *)&ct->entry->endpoints == ct->endpoints;
}

__inline __u32 ct_source_endpoint(__u64 endpoints)
{
	return endpoints & 0xFFFF;
}

__inline __u32 ct_destination_endpoint(__u64 endpoints)
{
	return endpoints >> 16 & 0xFFFF;
}

__inline __u64 ct_verdict_word(const struct ct_lookup *ct, __u32 revision, __u8 flags)
{
	return (__u64)revision << 32 | (ct->tag & CT_TAG_MASK) << 8 | flags;
}

__inline __u64 ct_endpoints_word(const struct ct_lookup *ct, __u32 source, __u32 destination)
{
	return (__u64)ct->tag << 32 | (destination & 0xFFFF) << 16 | (source & 0xFFFF);
}

__inline __u8 ct_next_state(__u8 state, const struct packet *packet, __u8 reply)
{
	if (packet->protocol == IPPROTO_TCP && packet->tcp_flags & (TCP_FIN | TCP_RST))
		state |= CT_STATE_CLOSING;
	return reply ? state | CT_STATE_REPLIED : state;
}

/* Remembers that a packet passed; writes only what changes. The mask tells the verifier what the index can be. */
__inline void ct_touch(struct ct_entry *entry, const struct packet *packet, __u8 reply)
{
	__u8 state = ct_next_state(entry->state, packet, reply);
	__u64 now = bpf_jiffies64();
	__u32 way = reply & 1;

	if (entry->last_seen != now)
		entry->last_seen = now;
	if (state != entry->state)
		entry->state = state;
	if (packet->tcp_flags & ~entry->tcp_flags[way])
		entry->tcp_flags[way] |= packet->tcp_flags;
	entry->packets[way]++;
	entry->bytes[way] += packet->length;
}

/* 0 or an error: an LRU map that can make no room is a drop, not a pass. */
__inline long ct_write(const struct packet *packet, struct ct_lookup *ct, const struct ct_entry *entry)
{
	if (packet->family == 4)
		return bpf_map_update_elem(&ct4, &ct->key.v4, entry, BPF_ANY);
	return bpf_map_update_elem(&ct6, &ct->key.v6, entry, BPF_ANY);
}
