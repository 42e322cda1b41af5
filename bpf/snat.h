/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Source translation at an uplink: what an endpoint sends to the world leaves with the node's address, and what comes back
 * finds its way. A flow has two entries, by what the endpoint's packets and by what the answers read like; the node's own
 * connections have the same, so that no endpoint is given a port that the node uses.
 */
#pragma once

#include "conntrack.h"
#include "endpoint.h"
#include "ipcache.h"
#include "serve.h"
#include "translate.h"

#define SNAT_TRIES 32
#define SNAT_FIRST_PORT 32768

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct uplink);
} uplinks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 524288);
	__type(key, struct snat_key);
	__type(value, struct snat_entry);
} snat SEC(".maps");

/* Prefixes that endpoints reach by their own addresses. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ipcache_key);
	__type(value, __u32);
} snat_excluded SEC(".maps");

/* What is too large for the stack: one packet at a time on a CPU. */
struct snat_scratch {
	struct packet packet;
	struct packet after;
	struct packet quoted;
	struct packet quoted_after;
	struct snat_key outward;
	struct snat_key inward;
	struct snat_entry entry;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct snat_scratch);
} snat_scratch SEC(".maps");

__inline struct snat_scratch *snat_scratch_here(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&snat_scratch, &row);
}

__inline bool is_echo(const struct packet *packet)
{
	return packet->flags & (PACKET_ECHO_REQUEST | PACKET_ECHO_REPLY);
}

/* An echo has one identifier, which stands for its sender's port. */
__inline void snat_key_of(const struct packet *packet, bool inward, struct snat_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->source, &packet->source, sizeof(key->source));
	__builtin_memcpy(key->destination, &packet->destination, sizeof(key->destination));
	key->source_port = inward && is_echo(packet) ? 0 : packet->source_port;
	key->destination_port = !inward && is_echo(packet) ? 0 : packet->destination_port;
	key->protocol = packet->protocol;
	key->inward = inward;
}

/* What the answer to a packet with another source reads like. */
__inline void inward_key_of(const struct snat_key *outward, const struct address *source, __be16 port,
			    struct snat_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->source, outward->destination, sizeof(key->source));
	__builtin_memcpy(key->destination, source, sizeof(key->destination));
	key->source_port = outward->destination_port;
	key->destination_port = port;
	key->protocol = outward->protocol;
	key->inward = true;
}

/* Ports can be changed where no checksum over the whole packet covers them. */
__inline bool has_changeable_port(const struct packet *packet)
{
	return packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP || is_echo(packet);
}

__inline __be16 any_port(void)
{
	return bpf_htons(SNAT_FIRST_PORT + bpf_get_prandom_u32() % (65536 - SNAT_FIRST_PORT));
}

/* True if the answers' tuple is this flow's own, now. */
__inline bool claim(const struct snat_key *inward, const struct snat_key *outward, struct snat_entry *entry)
{
	const struct snat_entry *other;

	__builtin_memcpy(entry->address, outward->source, sizeof(entry->address));
	entry->port = outward->source_port;
	if (!bpf_map_update_elem(&snat, inward, entry, BPF_NOEXIST))
		return true;
	other = bpf_map_lookup_elem(&snat, inward);
	return other && other->port == entry->port &&
	       same_address((const struct address *)other->address, (const struct address *)entry->address);
}

/* A source for a new flow: its own port if that is free, else one of many tries. 0 or the reason to drop. */
__inline int allocate(const struct packet *packet, const struct address *address, struct snat_scratch *scratch)
{
	__be16 port = packet->source_port;

	for (int attempt = 0; attempt < SNAT_TRIES; attempt++) {
		inward_key_of(&scratch->outward, address, port, &scratch->inward);
		if (claim(&scratch->inward, &scratch->outward, &scratch->entry)) {
			__builtin_memcpy(scratch->entry.address, address, sizeof(scratch->entry.address));
			scratch->entry.port = port;
			return bpf_map_update_elem(&snat, &scratch->outward, &scratch->entry, BPF_ANY)
				       ? REASON_NO_SNAT_PORT
				       : 0;
		}
		if (!has_changeable_port(packet))
			break;
		port = any_port();
	}
	return REASON_NO_SNAT_PORT;
}

/* The flow's translation goes to scratch->entry. 0 or the reason to drop. */
__subprogram int find_source(const struct packet *packet, const struct address *address, struct snat_scratch *scratch)
{
	const struct snat_entry *known;

	__builtin_memset(&scratch->entry, 0, sizeof(scratch->entry));
	scratch->entry.created = bpf_jiffies64();
	snat_key_of(packet, false, &scratch->outward);
	known = bpf_map_lookup_elem(&snat, &scratch->outward);
	if (!known || !same_address((const struct address *)known->address, address))
		return allocate(packet, address, scratch);
	inward_key_of(&scratch->outward, address, known->port, &scratch->inward);
	/* The answers' entry may have been recycled, and the port be another's since. */
	if (!bpf_map_lookup_elem(&snat, &scratch->inward) &&
	    !claim(&scratch->inward, &scratch->outward, &scratch->entry))
		return allocate(packet, address, scratch);
	scratch->entry = *known;
	return 0;
}

__inline bool is_excluded(const struct packet *packet)
{
	struct ipcache_key key = {.family = packet->family};

	key.prefix_length = FAMILY_BITS + (packet->family == 4 ? 32 : 128);
	if (packet->family == 4)
		__builtin_memcpy(key.address, &packet->destination.words[3], 4);
	else
		__builtin_memcpy(key.address, &packet->destination, 16);
	return bpf_map_lookup_elem(&snat_excluded, &key) != 0;
}

/* What is sent by an endpoint to the world, and is no answer; and what a service leads from outside to a backend elsewhere,
 * whose answers must come back here.
 */
__subprogram int leaves_for_world(const struct packet *packet)
{
	struct party party = {};
	struct ct_lookup ct;

	ct_find(packet, &ct);
	if (ct.entry && ct.reply)
		return false;
	find_party(&packet->source, packet->family, active_revision, &party);
	if (!party.endpoint)
		return ct.entry && ct.verdict & CT_FLAG_TRANSLATED && !(ct.verdict & CT_FLAG_FRONTEND);
	find_party(&packet->destination, packet->family, active_revision, &party);
	return party.identity == IDENTITY_WORLD && !is_excluded(packet);
}

__inline const struct address *address_of_uplink(__u32 ifindex, __u8 family)
{
	const struct uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	const struct address *address;

	if (!uplink)
		return 0;
	address = (const struct address *)(family == 4 ? uplink->ipv4 : uplink->ipv6);
	return address->halves[0] | address->halves[1] ? address : 0;
}

__inline bool is_the_nodes(const struct packet *packet, __u32 ifindex)
{
	const struct address *address = address_of_uplink(ifindex, packet->family);

	return !address || same_address(&packet->source, address);
}

/* An error that an endpoint sends about a packet from the world is about the node's address there. */
__inline int translate_error_out(struct __sk_buff *skb, const struct packet *packet, const struct address *address,
				 struct snat_scratch *scratch)
{
	const struct snat_entry *known;

	__builtin_memset(&scratch->quoted, 0, sizeof(scratch->quoted));
	if (parse_quoted(skb, packet, &scratch->quoted))
		return REASON_INVALID_PACKET;
	/* As the flow's own packets read: the quoted one is one of its answers. */
	snat_key_of(&scratch->quoted, true, &scratch->inward);
	__builtin_memset(&scratch->outward, 0, sizeof(scratch->outward));
	__builtin_memcpy(scratch->outward.source, scratch->inward.destination, 16);
	__builtin_memcpy(scratch->outward.destination, scratch->inward.source, 16);
	scratch->outward.source_port = scratch->inward.destination_port;
	scratch->outward.destination_port = scratch->inward.source_port;
	scratch->outward.protocol = scratch->inward.protocol;
	known = bpf_map_lookup_elem(&snat, &scratch->outward);
	if (!known)
		return REASON_NO_SNAT_PORT;
	scratch->after = *packet;
	scratch->after.source = *address;
	scratch->quoted_after = scratch->quoted;
	scratch->quoted_after.destination = *address;
	if (is_echo(&scratch->quoted))
		scratch->quoted_after.source_port = known->port;
	scratch->quoted_after.destination_port = known->port;
	return rewrite_error(skb, packet, &scratch->after, &scratch->quoted, &scratch->quoted_after)
		       ? REASON_TRANSLATION_FAILED
		       : 0;
}

/* An answer to a client outside reads as the service's from here on. */
__inline bool answers_for_service(const struct packet *packet, struct snat_scratch *scratch)
{
	struct ct_lookup ct;

	if (!may_be_for_service(packet))
		return false;
	ct_find(packet, &ct);
	return ct.entry && ct.reply && ct.verdict & CT_FLAG_TRANSLATED && !(ct.verdict & CT_FLAG_FRONTEND) &&
	       translate(packet, &ct, &scratch->after);
}

/* An error to a client outside about what it sent to a service: it sent to the service's address. */
__subprogram int complains_for_service(struct __sk_buff *skb, const struct packet *packet, struct packet *quoted)
{
	struct serve_scratch *serving = serve_scratch_here();
	struct ct_lookup ct;

	if (!serving)
		return false;
	__builtin_memset(quoted, 0, sizeof(*quoted));
	if (parse_quoted(skb, packet, quoted) || !same_address(&packet->destination, &quoted->source))
		return false;
	ct_find(quoted, &ct);
	return ct.entry && !ct.reply && translate_error(packet, quoted, &ct, serving);
}

__inline int translate_complaint(struct __sk_buff *skb, const struct packet *packet, const struct packet *quoted)
{
	const struct serve_scratch *serving = serve_scratch_here();

	if (!serving || rewrite_error(skb, packet, &serving->after, quoted, &serving->quoted_after))
		return REASON_TRANSLATION_FAILED;
	return 0;
}

/* What leaves by an uplink. 0 or the reason to drop. */
__subprogram int translate_out(struct __sk_buff *skb, const struct packet *packet, __u32 ifindex)
{
	const struct address *address = address_of_uplink(ifindex, packet->family);
	struct snat_scratch *scratch = snat_scratch_here();
	bool own;
	int reason;

	if (!scratch)
		return REASON_INVALID_PACKET;
	if (answers_for_service(packet, scratch))
		return rewrite(skb, packet, &scratch->after) ? REASON_TRANSLATION_FAILED : 0;
	if (packet->flags & PACKET_ICMP_ERROR && complains_for_service(skb, packet, &scratch->quoted))
		return translate_complaint(skb, packet, &scratch->quoted);
	if (!address)
		return 0;
	own = same_address(&packet->source, address);
	if (own ? !has_changeable_port(packet) : !leaves_for_world(packet))
		return 0;
	if (packet->flags & PACKET_ICMP_ERROR)
		return translate_error_out(skb, packet, address, scratch);
	reason = find_source(packet, address, scratch);
	if (reason)
		return reason;
	scratch->after = *packet;
	scratch->after.source = *address;
	scratch->after.source_port = scratch->entry.port;
	if (own && scratch->entry.port == packet->source_port)
		return 0;
	return rewrite(skb, packet, &scratch->after) ? REASON_TRANSLATION_FAILED : 0;
}

/* An error from the world about what a flow sent. */
__inline int translate_error_in(struct __sk_buff *skb, struct packet *packet, struct snat_scratch *scratch)
{
	const struct snat_entry *known;
	const struct packet *quoted = &scratch->quoted;

	__builtin_memset(&scratch->quoted, 0, sizeof(scratch->quoted));
	if (parse_quoted(skb, packet, &scratch->quoted) || !same_address(&packet->destination, &quoted->source))
		return 0;
	snat_key_of(quoted, false, &scratch->outward);
	inward_key_of(&scratch->outward, &quoted->source, scratch->outward.source_port, &scratch->inward);
	known = bpf_map_lookup_elem(&snat, &scratch->inward);
	if (!known || same_address((const struct address *)known->address, &packet->destination))
		return 0;
	scratch->after = *packet;
	scratch->quoted_after = *quoted;
	__builtin_memcpy(&scratch->after.destination, known->address, 16);
	__builtin_memcpy(&scratch->quoted_after.source, known->address, 16);
	scratch->quoted_after.source_port = known->port;
	if (rewrite_error(skb, packet, &scratch->after, quoted, &scratch->quoted_after))
		return REASON_TRANSLATION_FAILED;
	*packet = scratch->after;
	return 0;
}

/* What comes in by an uplink, so that `packet` reads as it does then. 0 or the reason to drop. */
__subprogram int translate_in(struct __sk_buff *skb, struct packet *packet)
{
	struct snat_scratch *scratch = snat_scratch_here();
	const struct snat_entry *known;

	if (!scratch)
		return REASON_INVALID_PACKET;
	if (packet->flags & PACKET_ICMP_ERROR)
		return translate_error_in(skb, packet, scratch);
	snat_key_of(packet, true, &scratch->inward);
	known = bpf_map_lookup_elem(&snat, &scratch->inward);
	if (!known)
		return 0;
	scratch->after = *packet;
	__builtin_memcpy(&scratch->after.destination, known->address, 16);
	scratch->after.destination_port = known->port;
	if (is_echo(packet))
		scratch->after.source_port = known->port;
	if (same_address(&scratch->after.destination, &packet->destination) &&
	    scratch->after.destination_port == packet->destination_port)
		return 0;
	if (rewrite(skb, packet, &scratch->after))
		return REASON_TRANSLATION_FAILED;
	*packet = scratch->after;
	return 0;
}
