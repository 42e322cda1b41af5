/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections through a service. The client's packets are found by the tuple with the service's address (the frontend's
 * entry), the backend's replies by the tuple with the backend's; each entry says what to translate to and what was judged,
 * so each way is one look-up. Policy judges the tuple with the backend.
 */
#pragma once

#include "judge.h"
#include "service.h"
#include "translate.h"

/* Neither 0 nor a reason. */
#define NOT_FOR_SERVICE -1
#define JUDGE_ANEW -2

/* What a workload that is its own backend sees as its client: Cilium's address for IPv4, one of the discard-only prefix
 * (RFC 6666) for IPv6. Replies to it come back to the hook.
 */
#define HAIRPIN_IPV4 0x012AFEA9 /* 169.254.42.1 */
#define HAIRPIN_IPV6_HIGH 0x0001 /* 100::a9fe:2a01 */
#define HAIRPIN_IPV6_LOW 0x012AFEA900000000 /* as they lie in memory on a little-endian machine */

/* What is too large for the stack: as judge_scratch, one packet at a time on a CPU. */
struct serve_scratch {
	struct packet after; /* what the packet reads like once it is translated */
	struct packet quoted_after; /* of an ICMP error: what it quotes */
	struct connection connection;
	struct choice choice;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct serve_scratch);
} serve_scratch SEC(".maps");

__inline struct serve_scratch *serve_scratch_here(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&serve_scratch, &row);
}

__inline void hairpin_address(__u8 family, struct address *address)
{
	if (family == 4) {
		map_ipv4(address, HAIRPIN_IPV4);
		return;
	}
	address->halves[0] = HAIRPIN_IPV6_HIGH;
	address->halves[1] = HAIRPIN_IPV6_LOW;
}

__inline void lead_to(const struct address *backend, __be16 port, bool hairpin, struct packet *packet)
{
	packet->destination = *backend;
	packet->destination_port = port;
	if (hairpin)
		hairpin_address(packet->family, &packet->source);
}

/* What a packet reads like once its entry's translation is done, into `after`. False: the entry is another tuple's now. */
__inline bool translate(const struct packet *packet, const struct ct_lookup *ct, struct packet *after)
{
	const struct address *address;
	struct nat nat;

	address = (const struct address *)nat.address;
	if (!ct_take_nat(ct, &nat))
		return false;
	*after = *packet;
	if (ct->verdict & CT_FLAG_FRONTEND) {
		lead_to(address, nat.port, ct->verdict & CT_FLAG_HAIRPIN, after);
		return true;
	}
	if (!ct->reply)
		return true;
	if (ct->verdict & CT_FLAG_HAIRPIN)
		after->destination = packet->source;
	after->source = *address;
	after->source_port = nat.port;
	return true;
}

/* What the error reads like to the client of a service or, from there, to the backend; the same of what it quotes. False:
 * as it is.
 */
__inline bool translate_error(const struct packet *error, const struct packet *quoted, const struct ct_lookup *ct,
			      struct serve_scratch *serving)
{
	const struct address *address;
	struct nat nat;

	if (!(ct->verdict & CT_FLAG_TRANSLATED) || !(ct->verdict & CT_FLAG_FRONTEND) != !ct->reply ||
	    !ct_take_nat(ct, &nat))
		return false;
	address = (const struct address *)nat.address;
	serving->connection.service = nat.service;
	serving->after = *error;
	serving->quoted_after = *quoted;
	if (ct->reply) {
		serving->after.destination = *address;
		serving->quoted_after.source = *address;
		serving->quoted_after.source_port = nat.port;
		return true;
	}
	/* Whoever on the way complains does so by its own address; only the backend's is the service's. */
	if (same_address(&error->source, &quoted->destination))
		serving->after.source = *address;
	serving->quoted_after.destination = *address;
	serving->quoted_after.destination_port = nat.port;
	return true;
}

/* Sums of one way go to the entry that does not see it, those of the other way come back. */
__inline void exchange_sums(struct ct_entry *entry, struct ct_entry *other, __u32 way)
{
	__u32 own = way & 1, theirs = !(way & 1);

	other->packets[own] = entry->packets[own];
	other->bytes[own] = entry->bytes[own];
	entry->packets[theirs] = other->packets[theirs];
	entry->bytes[theirs] = other->bytes[theirs];
}

/* The other entry of the connection is told what this one has seen, this packet too. `after`: the translated packet, by
 * which it is found. False: it is gone.
 */
__global int tell_other(const struct packet *after, struct ct_entry *entry, __u32 way)
{
	struct ct_lookup other;
	__u64 now = bpf_jiffies64();
	__u8 state;

	if (!after || !entry)
		return false;
	ct_find(after, &other);
	if (!other.entry || !(other.verdict & CT_FLAG_TRANSLATED))
		return false;
	state = ct_next_state(entry->state & (CT_STATE_REPLIED | CT_STATE_CLOSING), after, way);
	other.entry->last_seen = now;
	if (state & ~other.entry->state)
		other.entry->state |= state;
	other.entry->tcp_flags[way & 1] |= entry->tcp_flags[way & 1] | after->tcp_flags;
	exchange_sums(entry, other.entry, way);
	entry->synced = now;
	return true;
}

/* Once a second, and when the connection's state changes. */
__inline bool has_news(const struct ct_entry *entry, const struct packet *packet, __u8 reply)
{
	return packet->tcp_flags & ~entry->tcp_flags[reply & 1] ||
	       ct_next_state(entry->state, packet, reply) != entry->state ||
	       (__u32)bpf_jiffies64() - entry->synced >= jiffies_per_second;
}

/* A connection stays with its backend while that lives; else, and of a new one, there is a choice. The way there is put
 * into `serving`.
 */
__global int choose_way(const struct packet *packet, __u32 revision, struct serve_scratch *serving)
{
	struct choice *choice;
	struct ct_lookup ct;
	struct nat nat;

	if (!packet || !serving)
		return 0;
	choice = &serving->choice;
	ct_find(packet, &ct);
	serving->connection.remembered =
		ct.entry && ct.verdict & CT_FLAG_FRONTEND && !ct.reply && ct_take_nat(&ct, &nat) &&
		backend_lives(nat.backend, (const struct address *)nat.address, nat.port, revision);
	if (!serving->connection.remembered)
		return choose_backend(packet, &serving->connection.hook, revision, choice);
	choice->service = nat.service;
	choice->backend = nat.backend;
	choice->port = nat.port;
	choice->reason = 0;
	__builtin_memcpy(&choice->address, nat.address, sizeof(choice->address));
	return 0;
}

/* The tuple of client and backend has another connection, whose replies would be taken for this one's. */
__global int is_taken(const struct packet *after, __u32 service)
{
	struct ct_lookup other;

	if (!after)
		return true;
	ct_find(after, &other);
	if (!other.entry)
		return false;
	return other.reply || !(other.verdict & CT_FLAG_TRANSLATED) || other.verdict & CT_FLAG_FRONTEND ||
	       other.entry->nat.service != service;
}

/* Who is refused what. A forged source is refused for that first. */
__subprogram int note_refusal(const struct packet *packet, const struct hook *hook, __u8 reason,
			      struct decision *decision)
{
	find_ends(packet, decision->revision, &decision->source, &decision->destination);
	decision->direction = hook->direction;
	decision->reason = check_ends(hook, &decision->source, &decision->destination) ?: reason;
	return 0;
}

__inline void take_way(const struct packet *packet, struct serve_scratch *serving)
{
	struct connection *connection = &serving->connection;
	const struct choice *choice = &serving->choice;
	bool hairpin = same_address(&choice->address, &packet->source);

	serving->after = *packet;
	lead_to(&choice->address, choice->port, hairpin, &serving->after);
	connection->kept = CT_FLAG_TRANSLATED | (hairpin ? CT_FLAG_HAIRPIN : 0);
	connection->service = choice->service;
	connection->backend = choice->backend;
}

/* One try by the active revision. 0: the decision stands; JUDGE_ANEW: the revision moved or the tuple is taken. */
__inline int judge_service_once(const struct packet *packet, struct serve_scratch *serving, struct decision *decision)
{
	struct connection *connection = &serving->connection;
	const struct choice *choice = &serving->choice;
	__u32 revision = active_revision;

	choose_way(packet, revision, serving);
	if (!choice->service)
		return NOT_FOR_SERVICE;
	decision->revision = revision;
	decision->service = choice->service;
	if (choice->reason) {
		note_refusal(packet, &connection->hook, choice->reason, decision);
		return 0;
	}
	take_way(packet, serving);
	if (is_taken(&serving->after, choice->service)) {
		note_refusal(packet, &connection->hook, REASON_TUPLE_TAKEN, decision);
		return JUDGE_ANEW;
	}
	judge_at_one_revision(connection->kept & CT_FLAG_HAIRPIN ? packet : &serving->after, packet, connection,
			      decision);
	if (decision->revision == revision)
		return 0;
	decision->reason = REASON_REVISION_MOVED;
	return JUDGE_ANEW;
}

/* Writes one of the connection's two entries, that of the tuple of `packet`, which leads to `address`. 0 or the reason to
 * drop.
 */
__subprogram int remember_way(const struct packet *packet, const struct address *address, __be16 port,
			      const struct connection *connection, struct judge_scratch *scratch)
{
	struct ct_entry *now = &scratch->entry;
	struct ct_lookup ct;

	ct_find(packet, &ct);
	if (ct.ended)
		tell_replaced(packet, &ct);
	if (ct.entry && !(ct.verdict & CT_FLAG_TRANSLATED))
		ct.entry = 0;
	__builtin_memset(now, 0, sizeof(*now));
	__builtin_memcpy(now->nat.address, address, sizeof(now->nat.address));
	now->nat.port = port;
	now->nat.service = connection->service;
	now->nat.backend = connection->backend;
	return remember(packet, &ct, connection, &scratch->decision, now);
}

/* Judges a packet that no backend's entry speaks of: for a service, and it is to read like `after` in serve_scratch;
 * NOT_FOR_SERVICE otherwise. The decision is left in judge_scratch.
 */
__global int judge_service(const struct packet *packet, const struct hook *hook)
{
	struct judge_scratch *scratch = clean_scratch();
	struct serve_scratch *serving = serve_scratch_here();
	struct decision *decision;
	int result = JUDGE_ANEW;

	if (!packet || !hook || !scratch || !serving)
		return NOT_FOR_SERVICE;
	decision = &scratch->decision;
	__builtin_memset(&serving->connection, 0, sizeof(serving->connection));
	serving->connection.hook = *hook;
	for (int attempt = 0; attempt < JUDGE_ATTEMPTS && result == JUDGE_ANEW; attempt++)
		result = judge_service_once(packet, serving, decision);
	return result == NOT_FOR_SERVICE ? NOT_FOR_SERVICE : 0;
}

/* Writes both entries, the backend's first: a reply must find it. Then counts and reports. 0 or the reason to drop. */
__global int conclude_service(const struct packet *packet, __u32 *receiver)
{
	struct judge_scratch *scratch = dirty_scratch();
	struct serve_scratch *serving = serve_scratch_here();
	struct decision *decision;
	const struct packet *after;

	if (!packet || !receiver || !scratch || !serving)
		return REASON_INVALID_PACKET;
	decision = &scratch->decision;
	after = &serving->after;
	if (!decision->reason)
		decision->reason = remember_way(after, &packet->destination, packet->destination_port,
						&serving->connection, scratch);
	if (!decision->reason) {
		serving->connection.kept |= CT_FLAG_FRONTEND;
		decision->reason = remember_way(packet, &after->destination, after->destination_port,
						&serving->connection, scratch);
	}
	conclude(serving->choice.backend ? after : packet, &serving->connection, decision, 0);
	*receiver = decision->destination.endpoint;
	return decision->reason;
}

/* What was seen by a judgement is told to the connection's other entry. `after` is the packet's translation. */
__global int tell_of_judgement(const struct packet *packet, const struct packet *after)
{
	struct ct_lookup ct;

	if (!packet || !after)
		return 0;
	ct_find(packet, &ct);
	if (ct.entry && ct.verdict & CT_FLAG_TRANSLATED)
		tell_other(after, ct.entry, ct.reply);
	return 0;
}
