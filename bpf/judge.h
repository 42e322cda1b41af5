/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The judgement of a packet whose cached verdict does not hold: who the ends are, egress, ingress, all at one revision,
 * and what conntrack then remembers. The revision is read once for all of it and again when done; if it has moved, the
 * packet is judged again, so that no packet is judged by a mixture of two.
 */
#pragma once

#include "conntrack.h"
#include "decision.h"
#include "end.h"
#include "endpoint.h"
#include "report.h"
#include "service.h"

#define JUDGE_ATTEMPTS 4

/* How the packet met belongs to a connection. Plain data: it is passed to calls that are verified once. */
struct connection {
	struct hook hook;
	__u8 reply; /* 1: it travels against the opening direction */
	__u8 ingress_only; /* egress was judged by another tuple */
	__u8 remembered; /* conntrack has an entry */
	__u8 related; /* an ICMP error that quotes the connection's packet */
	__u8 kept; /* what its entry has of CT_FLAG_TRANSLATED, _FRONTEND and _HAIRPIN */
	__u8 pad[3];
	__u32 backend; /* row that a reply has to come from; 0: none of a service */
	__u32 service;
};

/* What is too large for the stack of nested calls. One packet at a time is judged on a CPU: TC programs run with
 * bottom halves disabled.
 */
struct judge_scratch {
	struct packet quoted;
	struct party quoted_source;
	struct party quoted_destination;
	struct decision decision;
	struct decision staged;
	struct question question;
	struct ct_entry entry;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct judge_scratch);
} judge_scratch SEC(".maps");

/* As it was left by whoever judged before. */
__inline struct judge_scratch *dirty_scratch(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&judge_scratch, &row);
}

__inline struct judge_scratch *clean_scratch(void)
{
	struct judge_scratch *scratch = dirty_scratch();

	if (scratch)
		__builtin_memset(scratch, 0, sizeof(*scratch));
	return scratch;
}

/* Destination port, or ICMP type, of the packet that opened the connection. */
__inline __u16 opening_port(const struct packet *packet, bool reply)
{
	if (packet->protocol == IPPROTO_ICMP)
		return reply && packet->flags & PACKET_ECHO_REPLY ? ICMP_ECHO : packet->icmp_type;
	if (packet->protocol == IPPROTO_ICMPV6)
		return reply && packet->flags & PACKET_ECHO_REPLY ? ICMPV6_ECHO_REQUEST : packet->icmp_type;
	return bpf_ntohs(reply ? packet->source_port : packet->destination_port);
}

__inline void ask(const struct packet *packet, bool reply, __u32 revision, struct question *question)
{
	question->revision = revision;
	question->protocol = packet->protocol;
	question->has_port = !(packet->flags & PACKET_NO_PORT);
	question->port = opening_port(packet, reply);
}

__inline bool judge_one(struct question *question, const struct party *subject, const struct party *peer,
			enum direction direction, struct decision *decision)
{
	struct answer *answer = direction == DIRECTION_EGRESS ? &decision->egress : &decision->ingress;

	question->subject = subject->identity;
	question->peer = peer->identity;
	question->peer_class = peer->prefix_class;
	question->direction = direction;
	judge_direction(question, answer);
	if (answer->verdict == VERDICT_ALLOW)
		return true;
	decision->reason = answer->reason;
	decision->direction = direction;
	return false;
}

/* Egress of the opener if it is a subject here, then, if that allows, ingress of the responder if it is one. */
__subprogram int judge_connection(const struct packet *packet, const struct connection *connection,
				  struct decision *decision, const struct party *source,
				  const struct party *destination)
{
	const struct party *opener = connection->reply ? destination : source;
	const struct party *responder = connection->reply ? source : destination;
	struct judge_scratch *scratch = dirty_scratch();
	struct question *question;

	if (!scratch) {
		decision->reason = REASON_INVALID_PACKET;
		return 0;
	}
	question = &scratch->question;
	__builtin_memset(question, 0, sizeof(*question));
	__builtin_memset(&decision->egress, 0, sizeof(decision->egress));
	__builtin_memset(&decision->ingress, 0, sizeof(decision->ingress));
	decision->reason = REASON_FORWARDED;
	ask(packet, connection->reply, decision->revision, question);
	question->staged = decision->staged;
	if (opener->is_subject && !connection->ingress_only &&
	    !judge_one(question, opener, responder, DIRECTION_EGRESS, decision))
		return 0;
	if (responder->is_subject)
		judge_one(question, responder, opener, DIRECTION_INGRESS, decision);
	return 0;
}

__inline void find_ends(const struct packet *packet, __u32 revision, struct party *source, struct party *destination)
{
	find_party(&packet->source, packet->family, revision, source);
	find_party(&packet->destination, packet->family, revision, destination);
}

/* At an uplink the node is judged too, while policies of its own select it. Beyond it is nobody of this host: an address of
 * the link is a neighbour's. `sender` and `receiver` are those of the packet that is at the hook.
 */
__inline void place_ends(const struct hook *hook, __u32 revision, struct party *sender, struct party *receiver)
{
	bool comes_in = hook->direction == DIRECTION_INGRESS;
	struct party *beyond = comes_in ? sender : receiver;
	struct party *here = comes_in ? receiver : sender;

	if (!hook->uplink)
		return;
	if (beyond->identity == IDENTITY_HOST)
		beyond->identity = IDENTITY_WORLD;
	if (here->identity == IDENTITY_HOST)
		here->is_subject = has_default(IDENTITY_HOST, revision);
}

/* Who the ends of the packet at the hook are, into the decision. */
__subprogram int find_judged_ends(const struct packet *packet, const struct hook *hook, struct decision *decision)
{
	find_ends(packet, decision->revision, &decision->source, &decision->destination);
	place_ends(hook, decision->revision, &decision->source, &decision->destination);
	return 0;
}

/* A segment in the midst of a connection that is not remembered (evicted, or older than the agent) may be a reply. */
__inline bool may_be_reply(const struct packet *packet, const struct connection *connection)
{
	return packet->protocol == IPPROTO_TCP && !(packet->tcp_flags & TCP_SYN) && !connection->remembered &&
	       !connection->kept && !(packet->flags & PACKET_LATER_FRAGMENT);
}

/* A denial stands as it was found forward: that is the direction the packet asks for. */
__inline void judge_as_reply(const struct packet *packet, struct connection *connection, struct decision *decision,
			     const struct party *source, const struct party *destination)
{
	__u8 ingress_only = connection->ingress_only;
	struct answer egress = decision->egress;
	struct answer ingress = decision->ingress;
	__u8 direction = decision->direction;
	__u8 reason = decision->reason;

	connection->reply = 1;
	connection->ingress_only = 0;
	judge_connection(packet, connection, decision, source, destination);
	decision->direction = connection->hook.direction;
	if (decision->reason == REASON_FORWARDED)
		return;
	connection->reply = 0;
	connection->ingress_only = ingress_only;
	decision->egress = egress;
	decision->ingress = ingress;
	decision->direction = direction;
	decision->reason = reason;
}

__inline bool comes_from_living_backend(const struct packet *packet, const struct connection *connection,
					__u32 revision)
{
	return !connection->backend ||
	       backend_lives(connection->backend, &packet->source, packet->source_port, revision);
}

/* By the ends of the packet that an ICMP error quotes. */
__subprogram int judge_related(const struct packet *quoted, const struct connection *connection,
			       struct decision *decision)
{
	struct judge_scratch *scratch = dirty_scratch();

	if (!scratch) {
		decision->reason = REASON_INVALID_PACKET;
		return 0;
	}
	find_ends(quoted, decision->revision, &scratch->quoted_source, &scratch->quoted_destination);
	/* What is quoted travelled the other way. */
	place_ends(&connection->hook, decision->revision, &scratch->quoted_destination, &scratch->quoted_source);
	return judge_connection(quoted, connection, decision, &scratch->quoted_source, &scratch->quoted_destination);
}

__inline void judge_at(const struct packet *packet, const struct packet *quoted, struct connection *connection,
		       struct decision *decision)
{
	struct party *source = &decision->source, *destination = &decision->destination;

	find_judged_ends(packet, &connection->hook, decision);
	if (connection->kept & CT_FLAG_HAIRPIN)
		*destination = *source;
	decision->direction = connection->hook.direction;
	decision->service = connection->service;
	decision->reason = check_ends(&connection->hook, source, destination);
	if (!decision->reason && connection->reply &&
	    !comes_from_living_backend(packet, connection, decision->revision))
		decision->reason = REASON_NO_BACKEND;
	/* As in Kubernetes, no policy stands between a workload and itself. */
	if (decision->reason || connection->kept & CT_FLAG_HAIRPIN)
		return;
	if (connection->related) {
		judge_related(quoted, connection, decision);
		return;
	}
	judge_connection(packet, connection, decision, source, destination);
	if (decision->reason && may_be_reply(packet, connection))
		judge_as_reply(packet, connection, decision, source, destination);
}

/* `quoted` is read where the packet is related to the connection of that one; elsewhere it may be the packet itself. */
__global int judge_at_one_revision(const struct packet *packet, const struct packet *quoted,
				   struct connection *connection, struct decision *decision)
{
	__u8 reply, ingress_only;

	if (!packet || !quoted || !connection || !decision)
		return 0;
	reply = connection->reply;
	ingress_only = connection->ingress_only;
	for (int attempt = 0; attempt < JUDGE_ATTEMPTS; attempt++) {
		connection->reply = reply;
		connection->ingress_only = ingress_only;
		decision->revision = active_revision;
		judge_at(packet, quoted, connection, decision);
		if (active_revision == decision->revision)
			return 0;
	}
	decision->reason = REASON_REVISION_MOVED;
	return 0;
}

__inline void fill_entry(const struct ct_lookup *ct, const struct connection *connection,
			 const struct decision *decision, struct ct_entry *entry)
{
	const struct party *opener = connection->reply ? &decision->destination : &decision->source;
	const struct party *responder = connection->reply ? &decision->source : &decision->destination;
	bool from_high = ct->from_high != connection->reply;
	__u8 flags = (from_high ? CT_FLAG_FROM_HIGH : 0) | (connection->ingress_only ? CT_FLAG_INGRESS_ONLY : 0) |
		     connection->kept;

	entry->verdict = ct_verdict_word(ct, decision->revision, flags);
	entry->endpoints = ct_endpoints_word(ct, connection->ingress_only ? 0 : opener->endpoint, responder->endpoint);
	entry->egress_record = decision->egress.record;
	entry->ingress_record = decision->ingress.record;
	entry->source_identity = opener->identity;
	entry->destination_identity = responder->identity;
}

__inline bool same_nat(const struct nat *one, const struct nat *other)
{
	return one->backend == other->backend && one->service == other->service && one->port == other->port &&
	       same_address((const struct address *)one->address, (const struct address *)other->address);
}

__inline bool translates_the_same(const struct ct_entry *entry, const struct ct_entry *now)
{
	__u64 kept = CT_FLAG_TRANSLATED | CT_FLAG_FRONTEND | CT_FLAG_HAIRPIN;

	return !((entry->verdict ^ now->verdict) & kept) && same_nat(&entry->nat, &now->nat);
}

__inline bool says_the_same(const struct ct_entry *entry, const struct ct_entry *now)
{
	return entry->endpoints == now->endpoints && entry->egress_record == now->egress_record &&
	       entry->ingress_record == now->ingress_record && entry->source_identity == now->source_identity &&
	       entry->destination_identity == now->destination_identity && translates_the_same(entry, now);
}

__inline void keep_history(const struct ct_entry *old, struct ct_entry *now)
{
	now->created = old->created;
	now->state = old->state;
	for (int way = 0; way < 2; way++) {
		now->packets[way] = old->packets[way];
		now->bytes[way] = old->bytes[way];
		now->tcp_flags[way] = old->tcp_flags[way];
	}
}

/* 0 or the reason to drop. `now` is all zero but for what it translates to. */
__subprogram int remember(const struct packet *packet, struct ct_lookup *ct, const struct connection *connection,
			  const struct decision *decision, struct ct_entry *now)
{
	fill_entry(ct, connection, decision, now);
	if (ct->entry && says_the_same(ct->entry, now)) {
		__sync_val_compare_and_swap(&ct->entry->verdict, ct->verdict, now->verdict);
		ct_touch(ct->entry, packet, connection->reply);
		return 0;
	}
	now->created = bpf_jiffies64();
	now->synced = now->created;
	if (ct->entry)
		keep_history(ct->entry, now);
	else if (packet->protocol == IPPROTO_TCP && !(packet->tcp_flags & TCP_SYN))
		now->state = CT_STATE_RECREATED;
	ct_touch(now, packet, connection->reply);
	return ct_write(packet, ct, now) ? REASON_CT_INSERT_FAILED : 0;
}

__inline __u8 status_of(const struct connection *connection)
{
	if (connection->related)
		return CT_STATUS_RELATED;
	if (connection->reply)
		return CT_STATUS_REPLY;
	return connection->remembered ? CT_STATUS_ESTABLISHED : CT_STATUS_NEW;
}

/* A reply to an echo that nobody remembers is judged by its own type, and opens nothing. */
__inline bool opens_connection(const struct packet *packet, const struct connection *connection)
{
	if (packet->flags & PACKET_STATELESS)
		return false;
	return connection->remembered || !(packet->flags & PACKET_ECHO_REPLY);
}

/* The rules that decided: both of what passes, the denying one of what does not. */
__inline void count_decision(const struct packet *packet, const struct decision *decision)
{
	if (!decision->reason || decision->direction == DIRECTION_EGRESS)
		count_record(decision->egress.record, packet->length);
	if (!decision->reason || decision->direction == DIRECTION_INGRESS)
		count_record(decision->ingress.record, packet->length);
	count_reason(decision->reason, decision->direction, packet->length);
}

/* Whether policies deny it: it may be dropped for another reason though they allow it. */
__inline bool policies_deny(const struct decision *decision)
{
	return decision->egress.verdict == VERDICT_DENY || decision->ingress.verdict == VERDICT_DENY;
}

/* What the staged policies say of a judgement, counted and told where it is another. It is judged by its own revision, so
 * that a commit in between makes no disagreement.
 */
__global int judge_staged(const struct packet *packet, const struct connection *connection,
			  const struct decision *decision)
{
	struct judge_scratch *scratch = dirty_scratch();
	struct decision *staged;

	if (!packet || !connection || !decision || !scratch)
		return 0;
	staged = &scratch->staged;
	*staged = *decision;
	staged->staged = 1;
	judge_connection(packet, connection, staged, &staged->source, &staged->destination);
	if (policies_deny(staged) == policies_deny(decision) || active_revision != decision->revision)
		return 0;
	staged->kind = EVENT_KIND_STAGED;
	staged->active_egress = decision->egress.rule;
	staged->active_ingress = decision->ingress.rule;
	count_reason(staged->reason ? REASON_STAGED_DENY : REASON_STAGED_ALLOW, staged->direction, packet->length);
	write_event(packet, staged, connection->hook.ifindex, 0);
	return 0;
}

__inline bool was_judged_by_policy(const struct decision *decision)
{
	return decision->egress.rule || decision->ingress.rule;
}

/* Counts and reports. `ended`: the connection's entry if this packet is its last, else null. */
__inline void conclude(const struct packet *packet, const struct connection *connection, struct decision *decision,
		       const struct ct_entry *ended)
{
	const struct endpoint *source = live_endpoint(decision->source.endpoint);
	const struct endpoint *destination = live_endpoint(decision->destination.endpoint);

	decision->status = status_of(connection);
	decision->kind = ended ? EVENT_KIND_CLOSE : EVENT_KIND_VERDICT;
	count_decision(packet, decision);
	if (something_is_staged() && was_judged_by_policy(decision) && !connection->related)
		judge_staged(packet, connection, decision);
	if (wanted_of(source, destination) < AGGREGATION_OFF)
		write_event(packet, decision, connection->hook.ifindex, ended);
}

__inline void continue_entry(const struct ct_lookup *ct, struct connection *connection)
{
	connection->remembered = 1;
	connection->reply = ct->reply;
	connection->ingress_only = !!(ct->verdict & CT_FLAG_INGRESS_ONLY);
	connection->kept = ct->verdict & (CT_FLAG_TRANSLATED | CT_FLAG_FRONTEND | CT_FLAG_HAIRPIN);
}

/* The translation goes over into the entry to be written. */
__inline void continue_translation(const struct ct_lookup *ct, struct connection *connection, struct ct_entry *now)
{
	if (!(connection->kept & CT_FLAG_TRANSLATED))
		return;
	ct_take_nat(ct, &now->nat);
	connection->backend = now->nat.backend;
	connection->service = now->nat.service;
}

/* Where egress was judged by another tuple, what travels back to the opener is the stack's: it rewrites the addresses
 * first.
 */
__inline __u32 receiver_of(const struct connection *connection, const struct decision *decision)
{
	bool back = connection->related ? !connection->reply : connection->reply;

	return back && connection->ingress_only ? 0 : decision->destination.endpoint;
}

/* Judges, remembers, counts and reports. The receiver's row goes to `receiver`. 0 or the reason to drop. */
__subprogram int judge_packet(const struct packet *packet, const struct hook *hook, struct ct_lookup *ct,
			      __u32 *receiver)
{
	struct connection connection = {.hook = *hook, .ingress_only = hook->from_source_hook};
	struct judge_scratch *scratch = clean_scratch();
	const struct ct_entry *ended = 0;
	struct decision *decision;

	if (!scratch)
		return REASON_INVALID_PACKET;
	decision = &scratch->decision;
	if (ct->entry) {
		continue_entry(ct, &connection);
		continue_translation(ct, &connection, &scratch->entry);
	}
	judge_at_one_revision(packet, packet, &connection, decision);
	if (!decision->reason && opens_connection(packet, &connection)) {
		bool closes = ct->entry && ct_closes(ct->entry, packet, connection.reply);

		if (ct->ended)
			tell_replaced(packet, ct);
		decision->reason = remember(packet, ct, &connection, decision, &scratch->entry);
		if (closes && !decision->reason)
			ended = scratch->entry.created ? &scratch->entry : ct->entry;
	}
	conclude(packet, &connection, decision, ended);
	*receiver = receiver_of(&connection, decision);
	return decision->reason;
}
